//! Assembles the page.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::{
    charts::{self, Curves},
    data::{Report, Run},
    escape::{self, fill},
    format::counted,
    results, setup, summary,
};
use crate::Theme;

/// Maximum size of a page in bytes, for names and configurations of ordinary length. Pictures that
/// do not fit are left out, and the page notes it.
pub const MAX_BYTES: usize = 2_000_000;

const TEMPLATE: &str = include_str!("report.html");
pub(super) const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The HTML document of a report. It is deterministic.
pub fn html(report: &Report) -> String {
    let runs = &report.runs;
    let title = escape::text(&title(report));
    let every = charts::every(runs);
    let curves = escape::json(&Curves::new(runs, every));
    let (header, tables) = (summary::header(runs), charts::tables(runs, every));
    let setups: Vec<String> = runs.iter().map(setup::section).collect();
    let fixed = [&header, &tables, &curves].into_iter().chain(&setups).map(String::len);
    let fixed =
        fixed.sum::<usize>() + [TEMPLATE, STYLE, SCRIPT].map(str::len).iter().sum::<usize>();
    let mut room = MAX_BYTES.saturating_sub(fixed + runs.iter().map(reserve).sum::<usize>());
    let sections: String = runs
        .iter()
        .zip(&setups)
        .enumerate()
        .map(|(i, (run, setup))| section(i, run, runs.len(), setup, &mut room))
        .collect();
    fill(
        TEMPLATE,
        &[
            ("policy", &policy()),
            ("title", &title),
            ("colours", &colours()),
            ("style", STYLE),
            ("header", &header),
            ("contents", &contents(runs)),
            ("curves", if has_curves(runs) { CURVES } else { NO_CURVES }),
            ("tables", &tables),
            ("runs", &sections),
            ("written_by", &escape::text(&report.written_by)),
            ("data", &curves),
            ("script", SCRIPT),
        ],
    )
}

/// Bytes of a run's section without pictures and setup, at most.
fn reserve(run: &Run) -> usize {
    let classes = run.evaluation.iter().flat_map(|evaluation| &evaluation.classes);
    20_000 + classes.map(|class| ROW + 6 * class.len()).sum::<usize>()
}

/// Bytes of a class's row but its name, of which a character may be an entity.
const ROW: usize = 300;

const CURVES: &str = "\
<div id=\"legend\" class=\"legend\"></div>\n\
<div id=\"charts\" class=\"charts\"></div>\n\
<noscript><p class=\"note\">The curves need JavaScript. The tables below have the same \
values.</p></noscript>\n\
<p class=\"hint\" id=\"hint\" hidden>Point at a chart, or focus it and use the arrow keys, to read the \
values of an epoch. The buttons above show and hide curves.</p>";

const NO_CURVES: &str = "<p class=\"note\">No epoch is finished yet.</p>";

fn has_curves(runs: &[Run]) -> bool {
    runs.iter().any(|run| !run.metrics.is_empty())
}

fn title(report: &Report) -> String {
    match (&report.title, report.runs.as_slice()) {
        (Some(title), _) => title.clone(),
        (None, [run]) => format!("{} on {}", run.arch, run.data),
        (None, runs) => {
            let same = |of: fn(&Run) -> &str| {
                let first = runs.first().map(of)?;
                runs.iter().all(|run| of(run) == first).then_some(first)
            };
            let mut title = counted(runs.len() as u64, "run");
            if let Some(arch) = same(|run| &run.arch) {
                title += &format!(" of {arch}");
            }
            if let Some(data) = same(|run| &run.data) {
                title += &format!(" on {data}");
            }
            title
        }
    }
}

/// The content security policy: nothing is loaded, and only this script runs.
fn policy() -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src data:; \
         base-uri 'none'; form-action 'none'"
    )
}

/// Colours of curves, for light and dark pages: with a contrast of 3 to the page, and
/// distinguishable for the colour-blind (after Okabe and Ito).
const SERIES: [[&str; 6]; 2] = [
    ["#0072b2", "#d55e00", "#008763", "#a8548a", "#b07c00", "#62646d"],
    ["#56b4e9", "#ff9248", "#33c79c", "#e59ac6", "#f0c04a", "#c9cbd6"],
];

/// The colours of the page, light and dark. Prints are light.
pub(super) fn colours() -> String {
    let rules = |theme: &Theme, series: [&str; 6], scheme: &str| {
        let mut rules = format!("color-scheme:{scheme};{}", theme.variables());
        for (i, colour) in series.iter().enumerate() {
            let _ = write!(rules, "--series-{}:{colour};", i + 1);
        }
        rules
    };
    let light = rules(&Theme::LIGHT, SERIES[0], "light");
    let dark = rules(&Theme::DARK, SERIES[1], "dark");
    format!(
        ":root{{{light}}}\n\
         @media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n\
         :root[data-theme=dark]{{{dark}}}\n\
         @media print{{:root:root{{{light}}}}}\n"
    )
}

fn contents(runs: &[Run]) -> String {
    let link = |i: usize, name: String| format!("<li><a href=\"#run-{i}\">{name}</a>");
    let of_runs: String = match runs {
        [run] if run.evaluation.is_some() => {
            link(1, "Evaluation".into()) + "<li><a href=\"#setup-1\">Settings</a>"
        }
        [_] => link(1, "Settings".into()),
        runs => runs.iter().enumerate().map(|(i, r)| link(i + 1, escape::name(&r.name))).collect(),
    };
    format!(
        "<li><a href=\"#summary\">Summary</a><li><a href=\"#curves\">Training curves</a>{of_runs}"
    )
}

fn section(index: usize, run: &Run, runs: usize, setup: &str, room: &mut usize) -> String {
    let number = index + 1;
    let results = results::section(run, room);
    let heading = if runs > 1 {
        let swatch = format!("<span class=\"swatch\" data-run=\"{index}\"></span>");
        format!("<h2>{swatch}{}</h2>", escape::name(&run.name))
    } else if run.evaluation.is_some() {
        "<h2>Evaluation</h2>".to_owned()
    } else {
        String::new()
    };
    let level = if runs > 1 { "h3" } else { "h2" };
    format!(
        "<section id=\"run-{number}\" class=\"run\">{heading}{results}\
         <{level} id=\"setup-{number}\">Settings and command</{level}>{setup}</section>\n"
    )
}
