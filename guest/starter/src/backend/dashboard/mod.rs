//! What the dashboard needs beside the API: signing in to it, and the list of projects.
//!
//! One signs in by a link or by the server key of project `internal`, and gets the token of a session, with which
//! `access` gives admin access to every project. Links and sessions are good only while the key is in force that
//! they were made with. A rotation ends them, so none is of use in another machine that has this one's data.

mod projects;
mod sessions;

pub(super) use self::{
    projects::list,
    sessions::{is_open, make_link, redeem_link, sign_in, sign_out},
};
