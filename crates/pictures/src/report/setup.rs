//! The command that reproduces a run, its machine and its settings.

use super::{
    data::Run,
    escape,
    format::{throughput, time},
};

/// Maximum characters of a configuration in the page; ordinary ones are far shorter.
const MAX_CONFIG: usize = 60_000;

pub(super) fn section(run: &Run) -> String {
    let list = |pairs: &[(String, String)]| -> String {
        let pair = |(label, value): &(String, String)| {
            format!("<div><dt>{}</dt><dd>{}</dd></div>", escape::text(label), escape::text(value))
        };
        pairs.iter().map(pair).collect()
    };
    let mut out = format!(
        "<p>This command reproduces the run:</p>\
         <div class=\"command\"><pre tabindex=\"0\"><code>{}</code></pre>\
         <button type=\"button\" class=\"copy\" hidden>Copy</button></div>",
        escape::text(&run.command)
    );
    if let Some(note) = &run.command_note {
        out += &format!("<p class=\"hint\">{}</p>", escape::text(note));
    }
    let mut machine = run.machine.clone();
    if let Some(images) = run.images_per_second() {
        machine.push(("Images per second".to_owned(), throughput(Some(images))));
        machine.push(("Training time".to_owned(), time(run.seconds())));
    }
    if !machine.is_empty() {
        out +=
            &format!("<h4>Machine and throughput</h4><dl class=\"pairs\">{}</dl>", list(&machine));
    }
    if !run.settings.is_empty() {
        out += &format!("<h4>Settings</h4><dl class=\"pairs\">{}</dl>", list(&run.settings));
    }
    if !run.config.is_empty() {
        let config: String = run.config.chars().take(MAX_CONFIG).collect();
        let cut = if config.len() < run.config.len() { "\n…" } else { "" };
        out += &format!(
            "<details><summary>config.toml</summary><pre tabindex=\"0\"><code>{}{cut}</code></pre>\
             </details>",
            escape::text(&config)
        );
    }
    out
}
