//! ISO 9660 + Joliet writer: files in, bytes out.
