//! Signing up, in and out, below `/auth`.

mod anonymous;
mod one_time_codes;
mod passwords;
mod sessions;
mod token;

pub(super) use self::{
    anonymous::sign_up as anonymous_sign_up,
    one_time_codes::{
        check_code as otp_check_code, send_code as otp_send_code, sign_in as otp_sign_in,
    },
    passwords::{
        check_reset_code, reset as reset_password, send_reset_code, set as set_password,
        sign_in as password_sign_in, sign_up as password_sign_up, update as update_password,
    },
    sessions::{
        create as create_session, delete as delete_session, delete_current as sign_out,
        end_all as end_sessions, list as list_sessions, refresh_current,
    },
    token::token,
};
