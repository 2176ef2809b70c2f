//! `mail …`: which mails are read.

use clap::{Args, Subcommand};

/// What is wanted of the mails.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum MailArguments {
    /// List mails, newest first
    List {
        #[command(flatten)]
        recipient: Recipient,
        /// Number of mails to list
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show a mail
    Show {
        /// ID of the mail, from `mail list`
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        part: Part,
    },
    /// Show the newest mail, or wait for the next one
    #[command(long_about = "Show the newest mail, or wait for the next one.\n\n\
            With `--wait`, shows the first mail that comes after this command began. It says on standard error \
            when it is waiting: have the mail sent after that. If none comes in time, the exit code is 1.\n\n\
            For example, in a test: stack-emulator mail latest --to ada@example.com --code")]
    Latest {
        #[command(flatten)]
        recipient: Recipient,
        /// Wait for a new mail, for this many seconds at most
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "30", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        wait: Option<u32>,
        #[command(flatten)]
        part: Part,
    },
}

/// To whom the mails are.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Recipient {
    /// Only mails to this address
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
}

/// What is printed of a mail.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Part {
    /// Print only the code: what the recipient types, or else the code in the link
    #[arg(long)]
    pub code: bool,
}
