//! `resnet data check`: what is wrong with a folder of photos.

use std::ops::ControlFlow;

use anyhow::{Context, bail};
use resnet::data::{
    PhotoSet,
    check::{self, PhotoCheck},
};
use resnet_formats::{Destination, Shown, atomic_write, quoted_path};
use resnet_pictures::report;
use serde::Serialize;

use super::{
    page,
    problems::{Problem, classes, problems},
};
use crate::{
    args::{Global, PhotoCheckArgs},
    delayed_progress::DelayedProgress,
    error::refuse_stdout,
    photos::json_name,
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// Classes in the table on a terminal.
const MOST_CLASSES: usize = 40;

/// The output of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    folder: String,
    #[serde(flatten)]
    check: &'a PhotoCheck,
    notes: &'a [String],
}

pub(crate) fn run(args: &PhotoCheckArgs, global: &Global) -> anyhow::Result<()> {
    refuse_stdout("--html", args.html.as_deref())?;
    let threads = global.cpu()?.threads();
    let mut unstopped = |_| ControlFlow::Continue(());
    let set = PhotoSet::list(&args.photos, args.labels.as_deref(), &mut unstopped)?;
    let lists = [Some(&set.train), set.validation.as_ref(), set.test.as_ref()];
    let photos = lists.into_iter().flatten().map(resnet::data::PhotoList::len).sum();
    let progress = DelayedProgress::new("checking", photos, global.quiet);
    let check = check::check(&set, threads, &mut |done| {
        progress.set(done);
        ControlFlow::Continue(())
    });
    progress.clear();
    let check = check?;
    // The page and the verdict are needed whether or not anyone reads stdout.
    let printed = if args.output.json {
        let folder = json_name(&args.photos);
        print::json(&Record { folder, check: &check, notes: &set.notes })
    } else {
        set.notes.iter().for_each(|note| global.note(note));
        print_tables(&check, args, global)
    };
    if let Some(path) = &args.html {
        let html = report::photos(&page::page(&set, &check, &problems(&check), args));
        atomic_write(Destination::Follow(path), |file| file.write_all(html.as_bytes()))
            .with_context(|| format!("cannot write {}", path.shown()))?;
        global.status(format!("the page is {}", path.shown()));
    }
    let severe: Vec<String> =
        problems(&check).iter().filter(|p| p.is_severe).map(Problem::sentence).collect();
    if args.strict && !severe.is_empty() {
        bail!("{}", severe.join("; "));
    }
    printed
}

fn print_tables(check: &PhotoCheck, args: &PhotoCheckArgs, global: &Global) -> anyhow::Result<()> {
    let (columns, rows) = classes(check);
    let headers: Vec<_> =
        columns.iter().map(|&name| (name, if name == "class" { Left } else { Right })).collect();
    let more = rows.len().saturating_sub(MOST_CLASSES);
    print::line(table(&headers, rows.into_iter().take(MOST_CLASSES)))?;
    if more > 0 {
        print::line(format!("and {} more classes", print::grouped(more)))?;
    }
    print::line("")?;
    let problems = problems(check);
    if problems.is_empty() {
        let photos = print::counted(check.photos as u64, "photo");
        print::line(format!("{photos}, and nothing is wrong with them"))?;
        return Ok(());
    }
    let headers = [("problem", Left), ("count", Right), ("example", Left)];
    let rows = problems.iter().map(|p| vec![p.what.clone(), p.count.clone(), p.example.clone()]);
    print::line(table(&headers, rows))?;
    if args.html.is_none() {
        let labels = args.labels.as_ref();
        let labels =
            labels.map_or_else(String::new, |file| format!(" --labels {}", quoted_path(file)));
        global.status(format!(
            "All of them: resnet data check {}{labels} --html page.html (or --json)",
            quoted_path(&args.photos)
        ));
    }
    Ok(())
}
