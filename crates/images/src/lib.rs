//! Guest images: manifest, qcow2 headers, digests.
