//! Flags that narrow lists say what the filters of the API say, in the words of a shell: who types one
//! may give names and times as people do.

use clap::{Arg, Command};

use crate::api::ReportFilters;
use crate::model::filter::{
    CallFilters, CdrFilters, ChangeFilters, Filter, Filters as _, NumberFilters, OneCallFilters,
    TagFilters,
};

/// Each list with its filters.
fn lists() -> Vec<([&'static str; 2], Vec<Filter>)> {
    let mut calls = CallFilters::filters();
    calls.extend(OneCallFilters::filters().into_iter().filter(|filter| filter.name != "id"));
    vec![
        (["calls", "list"], calls.clone()),
        (["calls", "export"], calls),
        (["cdrs", "list"], CdrFilters::filters()),
        (["cdrs", "export"], CdrFilters::filters()),
        (["changes", "list"], ChangeFilters::filters()),
        (["flows", "list"], TagFilters::filters()),
        (["numbers", "list"], NumberFilters::filters()),
        (["reports", "calls"], ReportFilters::filters()),
    ]
}

/// The flag of a filter.
fn flag(filter: &Filter) -> &'static str {
    match filter.name {
        "forwarding_flow" => "flow",
        name => name,
    }
}

/// What a filter asks for, as it is typed at a shell.
fn help(filter: &Filter) -> String {
    let doc = filter.doc().replace('`', "").replace(" (RFC 3339)", "");
    let doc = doc.trim_end_matches('.');
    let doc = match doc.strip_prefix("Id of ") {
        Some(rest) => format!("Name or id of {rest}"),
        None => doc.to_owned(),
    };
    match filter.name {
        "from" => format!(
            "{doc}: 1h (ago), today, yesterday, 2026-11-26, \"2026-11-26 09:30\" in this machine's \
             zone, or with an offset from UTC"
        ),
        _ => doc,
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// Gives the flags of each list the help of its filters.
#[must_use]
pub fn described(command: Command) -> Command {
    lists().into_iter().fold(command, |command, ([noun, verb], filters)| {
        command.mut_subcommand(noun, |noun| {
            noun.mut_subcommand(verb, |mut list| {
                for filter in &filters {
                    let flag = flag(filter);
                    // A switch stands for one value of its filter, and says which.
                    let is_typed = |arg: &Arg| arg.get_id() == flag && takes_value(arg);
                    if list.get_arguments().any(is_typed) {
                        list = list.mut_arg(flag, |arg| arg.help(help(filter)));
                    }
                }
                list
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_filter_of_a_list_has_its_flag_with_the_same_help() {
        let command = described(Cli::command());
        for ([noun, verb], filters) in lists() {
            let list = command.find_subcommand(noun).unwrap().find_subcommand(verb).unwrap();
            for filter in filters {
                // A report on test calls, and none on both, is what --tests asks for.
                let is_switch = (noun, filter.name) == ("reports", "test");
                let flag = if is_switch { "tests" } else { flag(&filter) };
                let what = format!("{noun} {verb} --{flag}");
                let arg = list.get_arguments().find(|arg| arg.get_id() == flag);
                let arg = arg.unwrap_or_else(|| panic!("{what} is missing"));
                let told = arg.get_help().unwrap().to_string();
                assert!(!takes_value(arg) || told == help(&filter), "{what}: {told}");
            }
        }
    }
}
