//! Tests of README.md, CONTRIBUTING.md, ARCHITECTURE.md and docs/: their commands parse, their links
//! lead somewhere, and the reference is up to date. `scripts/check-docs` runs the commands.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Component, Path, PathBuf},
};

use clap::{CommandFactory, Parser};
use glob::Pattern;
use serde::Deserialize;

use crate::{args::Cli, reference};

/// What `scripts/check-docs` does with some of the commands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Treatment {
    setup: Vec<String>,
    #[serde(default)]
    cut: Vec<Cut>,
    #[serde(default)]
    left_out: Vec<LeftOut>,
}

/// A command that is made shorter: more options, or another command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cut {
    command: String,
    append: Option<String>,
    instead: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    command: String,
    reason: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Pages by their paths from the root, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = docs.map(|name| Path::new("docs").join(name)).collect();
    names.retain(|name| name.extension().is_some_and(|suffix| suffix == "md"));
    names.sort();
    names.extend(["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].map(PathBuf::from));
    let text = |name: &PathBuf| fs::read_to_string(root().join(name)).unwrap();
    names.into_iter().map(|name| (name.clone(), text(&name))).collect()
}

/// The lines of a page, each with whether it is part of the text, of a fenced block of commands (`sh`
/// or no language), or of another block.
fn lines(text: &str) -> impl Iterator<Item = (Kind, &str)> {
    let mut kind = Kind::Text;
    text.lines().map(move |line| {
        let Some(fence) = line.trim_start().strip_prefix("```") else { return (kind, line) };
        kind = match (kind, fence.trim()) {
            (Kind::Text, "sh" | "") => Kind::Commands,
            (Kind::Text, _) => Kind::Other,
            _ => Kind::Text,
        };
        (Kind::Other, line)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Commands,
    Other,
}

/// Every use of `resnet` in the commands of the pages: where it stands, and its words. Commands are
/// the lines of their blocks, what stands after a prompt (`$ `), and code in tables.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (page, text) in pages().into_iter().filter(|(page, _)| !page.ends_with("ARCHITECTURE.md")) {
        let mut begun = String::new();
        for (i, (kind, line)) in lines(&text).enumerate() {
            let commands: Vec<String> = match kind {
                Kind::Commands => match line.strip_suffix('\\') {
                    Some(part) => {
                        begun.push_str(part);
                        continue;
                    }
                    None => vec![std::mem::take(&mut begun) + line],
                },
                Kind::Other => line.strip_prefix("$ ").map(String::from).into_iter().collect(),
                // A word alone is a name. The reference has parts of commands.
                Kind::Text if line.starts_with('|') && !page.ends_with("reference.md") => {
                    let code = line.split('`').skip(1).step_by(2);
                    code.filter(|code| code.contains(' ')).map(String::from).collect()
                }
                Kind::Text => continue,
            };
            let place = format!("{}:{}", page.display(), i + 1);
            let uses = commands.iter().filter_map(|command| resnet(words(command)));
            found.extend(uses.map(|words| (place.clone(), words)));
        }
    }
    found
}

/// The words of the first command of a line, as a shell splits them; what it would expand is kept.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | ';' | '<' | '>') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "an open quote: {line}");
    words.extend(word);
    words
}

/// `resnet` and its arguments, where that is the program.
fn resnet(words: Vec<String>) -> Option<Vec<String>> {
    let is_setting = |word: &&String| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let first = words.iter().take_while(is_setting).count();
    let rest = match &words[first..] {
        [program, rest @ ..] if program == "resnet" => rest,
        [cargo, run, release, dashes, rest @ ..]
            if [cargo, run, release, dashes] == ["cargo", "run", "--release", "--"] =>
        {
            rest
        }
        _ => return None,
    };
    Some(["resnet".to_owned()].into_iter().chain(rest.iter().cloned()).collect())
}

fn parse(words: &[String]) -> Result<(), String> {
    match Cli::try_parse_from(words) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[test]
fn commands_parse() {
    let commands = commands();
    assert!(commands.len() > 10, "only {} commands were found", commands.len());
    let wrong: Vec<_> = commands
        .iter()
        .filter_map(|(place, words)| {
            Some(format!("{place}: {}\n{}", words.join(" "), parse(words).err()?))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_cut_or_left_out_is_in_the_pages() {
    let path = root().join("scripts/check-docs.toml");
    let table: Treatment = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for command in table.setup.iter().chain(table.cut.iter().filter_map(|cut| cut.instead.as_ref()))
    {
        if let Some(words) = resnet(words(command)) {
            parse(&words).unwrap();
        }
    }
    assert!(table.cut.iter().all(|cut| cut.append.is_some() != cut.instead.is_some()));
    assert!(table.left_out.iter().all(|entry| !entry.reason.is_empty()));
    let cut = table.cut.iter().map(|entry| &entry.command);
    let patterns: Vec<_> = cut.chain(table.left_out.iter().map(|entry| &entry.command)).collect();
    let compiled: Vec<_> = patterns.iter().map(|p| Pattern::new(p).unwrap()).collect();
    // Of several entries that match a command the first counts.
    let first = |(_, words): (_, Vec<String>)| {
        let command = words.join(" ");
        compiled.iter().position(|pattern| pattern.matches(&command))
    };
    let used: HashSet<_> = commands().into_iter().filter_map(first).collect();
    let unused: Vec<_> =
        (0..patterns.len()).filter(|i| !used.contains(i)).map(|i| patterns[i]).collect();
    assert!(unused.is_empty(), "{}: no command is matched first by {unused:?}", path.display());
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = pages();
    let anchors: HashMap<_, _> = pages.iter().map(|(page, text)| (page, anchors(text))).collect();
    let mut wrong = Vec::new();
    let mut followed = 0;
    for (page, text) in &pages {
        for link in links(text).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => normal(&page.parent().unwrap().join(file)),
            };
            let leads = match anchors.get(&target) {
                Some(anchors) => anchor.is_empty() || anchors.contains(anchor),
                None => anchor.is_empty() && root().join(&target).exists(),
            };
            followed += 1;
            if !leads {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(followed > 10, "only {followed} links were found");
    assert!(wrong.is_empty(), "links to nothing:\n{}", wrong.join("\n"));
}

/// The targets of a page's links and pictures, in Markdown and in HTML.
fn links(text: &str) -> impl Iterator<Item = String> {
    let prose: String = lines(text)
        .filter(|(kind, _)| *kind == Kind::Text)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    // Every second part is code.
    let prose: String = prose.split('`').step_by(2).collect();
    let after = |opening: &'static str, end: char| {
        let targets = prose.split(opening).skip(1).filter_map(move |rest| rest.split_once(end));
        targets.map(|(target, _)| target.to_owned()).collect::<Vec<_>>()
    };
    let html = ["src=\"", "srcset=\"", "href=\""].map(|opening| after(opening, '"')).concat();
    after("](", ')').into_iter().chain(html)
}

/// What GitHub calls the headings of a page.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for (_, line) in lines(text).filter(|(kind, line)| *kind == Kind::Text && line.starts_with('#'))
    {
        let title = line.trim_start_matches('#').trim();
        let slug: String = title
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let numbered = (1..).map(|n| format!("{slug}-{n}"));
        let free =
            std::iter::once(slug.clone()).chain(numbered).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => drop(normal.pop()),
            component => normal.push(component),
        }
        normal
    })
}

#[test]
fn the_reference_is_up_to_date() {
    let page = fs::read_to_string(root().join("docs/reference.md")).unwrap_or_default();
    assert!(
        page == reference::markdown(Cli::command()),
        "docs/reference.md is out of date: run `cargo run -- man --markdown > docs/reference.md`"
    );
}

#[test]
fn words_are_those_of_a_shell() {
    let split = |line| words(line).join("|");
    assert_eq!(split("resnet  eval 'a b' \"c\"d # e"), "resnet|eval|a b|cd");
    assert_eq!(split("resnet archs --json | jq ."), "resnet|archs|--json");
    assert_eq!(split("x y#z '#' a\\ b"), "x|y#z|#|a b");
    let ours = |line| resnet(words(line)).map(|words| words.join(" "));
    assert_eq!(ours("RESNET_ISA=avx2 cargo run --release -- archs").unwrap(), "resnet archs");
    assert_eq!(ours("cargo run -q -p resnet-layers"), None);
}
