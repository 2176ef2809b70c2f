//! Teams, their members and invitations.

mod handlers;
mod invitations;
mod members;
mod rows;

pub(super) use self::{
    handlers::{create, delete, list, read, update},
    invitations::{
        accept, accept_by_id, accept_details, check_code as check_invitation_code,
        list as list_invitations, revoke as revoke_invitation, send_code as invite,
    },
    members::{
        add as add_member, list_profiles, read_profile, remove as remove_member, update_profile,
    },
    rows::{Team, client_view, need_member, need_permission, server_view},
};
