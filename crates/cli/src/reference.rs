//! docs/reference.md: every command and option of the program, as Markdown.

use std::fmt::Write;

use clap::{Arg, Command, builder::PossibleValue};

/// The page of `docs/` with examples of a verb: its title and its file.
const PAGES: [(&str, &str, &str); 17] = [
    ("train", "Train", "train.md"),
    ("eval", "Evaluate", "evaluate.md"),
    ("show", "Pictures", "pictures.md"),
    ("report", "Reports", "report.md"),
    ("predict", "Classify photos", "photos.md"),
    ("similar", "Classify photos", "photos.md"),
    ("serve", "Serve", "serve.md"),
    ("convert", "Convert models", "convert.md"),
    ("summary", "Look inside a network", "summary.md"),
    ("experiment", "The paper's experiments", "paper.md"),
    ("archs", "Look inside a network", "summary.md"),
    ("devices", "Use a GPU", "gpu.md"),
    ("recipes", "Train", "train.md"),
    ("bench", "Look inside a network", "summary.md"),
    ("data", "Data sets", "data.md"),
    ("completions", "Environment", "environment.md"),
    ("man", "Environment", "environment.md"),
];

const HEADER: &str = "\
# Reference

Every command of `resnet`, with its arguments and options. `resnet COMMAND --help` prints the same in the
terminal, `resnet man` as a man page. Environment variables and exit codes: [Environment](environment.md).

<!-- Written by `resnet man --markdown` from the definitions of the arguments. -->
";

/// The page `docs/reference.md`. It depends on the definitions alone, not on the terminal or the
/// machine.
pub(crate) fn markdown(mut command: Command) -> String {
    command.build();
    let mut page = format!("{HEADER}\n| command | purpose |\n|---|---|\n");
    for verb in verbs(&command) {
        let name = verb.get_name();
        let _ = writeln!(page, "| [`{name}`](#resnet-{name}) | {} |", about(verb));
    }
    let global: Vec<_> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    if let Some(heading) = global.first().and_then(|arg| arg.get_help_heading()) {
        let _ = writeln!(page, "\n## {heading}");
        table(&mut page, "Option", &global);
    }
    for verb in verbs(&command) {
        section(&mut page, verb, 2);
    }
    page
}

/// The section of a verb, and those of the verbs below it.
fn section(page: &mut String, verb: &Command, level: usize) {
    let title = verb.get_bin_name().unwrap_or_default();
    let _ = write!(page, "\n{} {title}\n\n{}.", "#".repeat(level), about(verb));
    let page_of = PAGES.iter().find(|(name, ..)| verb.get_name() == *name);
    if let Some((_, title, file)) = page_of {
        let _ = write!(page, " Examples: [{title}]({file}).");
    }
    let usage = verb.clone().render_usage().to_string();
    let _ = write!(page, "\n\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let (positionals, options): (Vec<_>, Vec<_>) = verb
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && arg.get_id() != "help")
        .partition(|arg| arg.is_positional());
    table(page, "Argument", &positionals);
    let mut headings = vec![None];
    for arg in &options {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        let of_heading = |arg: &&Arg| arg.get_help_heading() == heading;
        let options: Vec<_> = options.iter().copied().filter(of_heading).collect();
        table(page, heading.unwrap_or("Option"), &options);
    }
    for verb in verbs(verb) {
        section(page, verb, level + 1);
    }
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
}

fn about(verb: &Command) -> String {
    verb.get_about().map(|about| escaped(&about.to_string())).unwrap_or_default()
}

fn table(page: &mut String, first: &str, args: &[&Arg]) {
    let args: Vec<_> = args.iter().filter(|arg| !arg.is_hide_set()).collect();
    if args.is_empty() {
        return;
    }
    let _ = write!(page, "\n| {first} | meaning | default |\n|---|---|---|\n");
    for arg in args {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
        let help = help.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        // A default that depends on something is described at the end of the help.
        let (mut meaning, mut default) =
            match help.strip_suffix(']').map(|h| h.rsplit_once(" [default: ")) {
                Some(Some((meaning, default))) => (escaped(meaning), escaped(default)),
                _ => (escaped(&help), String::new()),
            };
        if arg.get_action().takes_values() {
            if let [value] = arg.get_default_values()
                && !arg.is_hide_default_value_set()
            {
                default = code(&value.to_string_lossy());
            }
            let values: Vec<_> = arg.get_possible_values().iter().map(possible).collect();
            if !values.is_empty() {
                let _ = write!(meaning, "; one of {}", values.join(", "));
            }
        }
        let _ = writeln!(page, "| {} | {meaning} | {default} |", name(arg));
    }
}

/// `--batch N`, with its other spellings; `MODEL`.
fn name(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    if arg.is_positional() {
        return code(&values);
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().into_iter().chain(arg.get_visible_aliases().unwrap_or_default());
    let spellings = short.into_iter().chain(long.map(|long| format!("--{long}")));
    let takes_values = arg.get_action().takes_values();
    let spelling = |s: String| code(&if takes_values { format!("{s} {values}") } else { s });
    spellings.map(spelling).collect::<Vec<_>>().join(", ")
}

/// A possible value, and what it means where that is said.
fn possible(value: &PossibleValue) -> String {
    let name = code(value.get_name());
    match value.get_help() {
        Some(help) => format!("{name} ({})", lower_first(&escaped(&help.to_string()))),
        None => name,
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Text in a cell of a table: what stands between backquotes is code already.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        if c == '|' || !in_code && matches!(c, '<' | '*' | '_') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
