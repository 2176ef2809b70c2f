//! `users …`: whose accounts are made, listed and deleted.

use clap::Subcommand;

/// What is wanted of the users.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum UsersArguments {
    /// Create a user and print what to sign in with
    #[command(long_about = "Create a user and print what to sign in with.\n\n\
            Makes a password, unless another is given. Whether people can sign in with passwords is the config \
            file's to say.")]
    Add {
        /// Address to sign in with
        #[arg(value_name = "ADDRESS")]
        email: String,
        /// Display name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Read the password from standard input, without showing it
        #[arg(long, conflicts_with = "no_password")]
        password_stdin: bool,
        /// Create the user without a password
        #[arg(long)]
        no_password: bool,
        /// Leave the address unverified
        #[arg(long)]
        unverified: bool,
    },
    /// List users, newest first
    List {
        /// Only users with this in their address, name or ID
        #[arg(value_name = "TEXT")]
        query: Option<String>,
        /// Number of users to list
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Delete a user
    Delete {
        /// Address or ID of the user
        #[arg(value_name = "USER")]
        user: String,
    },
}
