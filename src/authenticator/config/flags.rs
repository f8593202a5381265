//! The flags of `approzium serve`.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};

use super::settings::{self, SETTINGS, Setting, Takes};

/// The flags of `approzium serve`, one for each setting that is no secret: see `approzium serve --help`.
#[derive(Clone, Debug, Default)]
pub struct Arguments(pub(super) BTreeMap<&'static str, Vec<String>>);

impl Args for Arguments {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().fold(command, |command, setting| {
            // clap keeps its names as long as the process lives; this is done once.
            let name: &'static str = settings::flag(setting.key).leak();
            let argument = Arg::new(setting.key)
                .long(name)
                .help(match setting.variable {
                    "" => setting.help.to_owned(),
                    variable => format!("{} [env: {variable}]", setting.help),
                });
            command.arg(match setting.takes {
                Takes::Switch => argument.action(ArgAction::SetTrue),
                Takes::Value => argument.action(ArgAction::Set).value_name("VALUE"),
                Takes::List => argument.action(ArgAction::Append).value_name("VALUE"),
                // To be refused with a word on where else it goes.
                Takes::Secret => argument.action(ArgAction::Set).num_args(0..).hide(true),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = BTreeMap::new();
        for setting in SETTINGS {
            if setting.takes == Takes::Secret && matches.contains_id(setting.key) {
                return Err(is_no_flag(setting));
            }
            let texts: Vec<String> = match setting.takes {
                Takes::Switch if matches.get_flag(setting.key) => vec!["true".to_owned()],
                Takes::Switch | Takes::Secret => Vec::new(),
                Takes::Value | Takes::List => matches
                    .get_many(setting.key)
                    .map(|texts| texts.cloned().collect())
                    .unwrap_or_default(),
            };
            if !texts.is_empty() {
                flags.insert(setting.key, texts);
            }
        }
        Ok(Arguments(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It does not repeat what was given.
fn is_no_flag(setting: &Setting) -> clap::Error {
    let Setting { key, variable, .. } = setting;
    let flag = settings::flag(key);
    let problem = format!(
        "--{flag} would be seen by whoever lists processes: give {key}_path, a file with it, or the \
         variable {variable}; what was given is to be exchanged"
    );
    clap::Error::raw(ErrorKind::UnknownArgument, problem)
}
