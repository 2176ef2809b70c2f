//! A virtio-serial port, read without blocking and waited for without polling.
//!
//! Reading a port whose host end is closed gives 0 bytes at once, and `poll` calls it readable and hung up
//! all the time, so neither says when the host comes back. An edge-triggered `epoll` does: the driver wakes
//! its waiters when the other end opens and when bytes arrive.

use std::{fs::File, io, os::fd::OwnedFd, path::Path, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    fs::OFlags,
    io::Errno,
};

/// An open port.
#[derive(Debug)]
pub struct Port {
    file: OwnedFd,
    wakes: OwnedFd,
}

impl Port {
    /// Opens the port at `path`. Only one process can have it open.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::options().read(true).write(true).open(path)?.into())
    }

    /// Uses what is open already.
    ///
    /// # Errors
    /// If it is nothing that can be waited for.
    pub fn new(file: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &wakes,
            &file,
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Self { file, wakes })
    }

    /// Waits until something changed since the last wait.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1);
        loop {
            match epoll::wait(&self.wakes, spare_capacity(&mut events), None) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Takes what there is; 0 bytes if the host's end is closed.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is nothing now.
    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.file, &mut *into) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Writes all of `bytes`, waiting for at most `limit` each time that there is no room.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if there is none after that; else what the system says.
    pub fn write_all(&self, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        while !bytes.is_empty() {
            match rustix::io::write(&self.file, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut room = [PollFd::new(&self.file, PollFlags::OUT)];
                    if poll(&mut room, Some(&limit))? == 0 {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
