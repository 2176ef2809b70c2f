//! Users: their rows, how each access type sees them, and the endpoints below `/users`.

mod handlers;
mod rows;
mod view;

pub(super) use self::{
    handlers::{create, delete, list, read, update},
    rows::{
        Change, NewUser, User, all_ids, find, find_by_sign_in_address, insert, touch, update_row,
    },
    view::{client_view, server_view},
};
