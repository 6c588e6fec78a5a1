//! Responses of the layers of trained nets.

use std::{ops::ControlFlow, path::Path};

use resnet::{
    Dtype, Network,
    config::TrainConfig,
    data::{ImageSet, Normalisation},
    experiment::{Decided, RunHistory, responses},
    run::{self, CONFIG},
};
use resnet_formats::brief;
use resnet_pictures::Theme;

use super::{figure, files, net_responses::NetResponses, setup::Setup};
use crate::{
    args::{Global, PictureFormat},
    delayed_progress::DelayedProgress,
    device::Work,
    interrupt::Interrupt,
    photo_folder, pictures, print,
    table::{
        Align::{Left, Right},
        table as text_table,
    },
    verbs::train::load,
};

/// The file of the responses.
const FILE: &str = "responses.json";
/// Their figure, without its suffix.
const FIGURE: &str = "responses";

/// Measures the nets of an experiment: the finished runs with seed 0.
pub(super) fn of_runs(
    setup: &Setup<'_>,
    runs: &[RunHistory],
    decided: &Decided,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<NetResponses>> {
    let silent = Global { quiet: true, ..*global };
    let mut found = Vec::new();
    for history in runs.iter().filter(|run| run.run.seed == 0 && run.is_finished()) {
        interrupt.check()?;
        let run = history.run;
        let folder = setup.folder.join(run.folder());
        let data = if setup.data.is_folder() {
            let config = TrainConfig::read(&folder.join(CONFIG))?;
            let (reading, data_dir) = (&setup.args.images.reading, &setup.args.data_dir);
            photo_folder::of_run(&folder, &config, reading, data_dir, &silent)?
        } else {
            load(&setup.train_args(run, Some(decided)), run.net, &silent, interrupt)?
        };
        let Some(images) = data.test.or(data.validation) else { continue };
        let model = run::load_model(&folder, &Default::default())?;
        let normalisation = model.normalisation.unwrap_or(data.normalisation);
        let name = run.net.to_string();
        found.push(of_net(
            &name,
            &name,
            &model.network,
            &images,
            &normalisation,
            global,
            interrupt,
        )?);
    }
    let headline = format!("Responses of layers on {}", setup.data.in_a_name());
    write(&setup.folder, &found, &headline)?;
    Ok(found)
}

/// Measures a net.
pub(super) fn of_net(
    name: &str,
    arch: &str,
    network: &Network,
    images: &ImageSet,
    normalisation: &Normalisation,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<NetResponses> {
    let activity = format!("responses of {}", brief(name));
    let progress = DelayedProgress::new(&activity, images.len(), global.quiet);
    let mut count = 0;
    let [height, width, _] = images.size();
    let work = Work::evaluation(network.graph(), Dtype::Fp32, [height, width]);
    let device = global.device(work)?;
    let layers = responses(network, images, normalisation, Dtype::Fp32, &device, &mut |done| {
        count = done;
        progress.set(done);
        match interrupt.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    progress.clear();
    interrupt.check()?;
    let layers = layers?.unwrap_or_default();
    Ok(NetResponses { name: name.to_owned(), arch: arch.to_owned(), images: count, layers })
}

/// Writes the responses and their figure into a folder.
pub(super) fn write(folder: &Path, nets: &[NetResponses], headline: &str) -> anyhow::Result<()> {
    files::write(&folder.join(FILE), |file| {
        serde_json::to_writer_pretty(&mut *file, nets)?;
        file.write_all(b"\n")
    })?;
    let images = nets.iter().map(|net| net.images).max().unwrap_or(0);
    let images = print::counted(images as u64, "image");
    let detail = format!(
        "3x3 layers after batch norm, before activation and addition; {images}; bold: residual \
         nets, dashed: plain ones"
    );
    let draw = |theme: &Theme| vec![(FIGURE, figure::responses(nets, (headline, &*detail), theme))];
    pictures::write(folder, pictures::encode(PictureFormat::Both, draw)?)?;
    Ok(())
}

/// The table of responses.
pub(super) fn table(nets: &[NetResponses]) -> String {
    let headers = [
        ("net", Left),
        ("layers", Right),
        ("mean response", Right),
        ("smallest", Right),
        ("median", Right),
        ("largest", Right),
        ("images", Right),
    ];
    let rows = nets.iter().map(|net| {
        let mut stds: Vec<f64> = net.layers.iter().map(|layer| layer.std).collect();
        stds.sort_by(f64::total_cmp);
        let number = |value: Option<&f64>| value.map_or("-".to_owned(), |x| format!("{x:.3}"));
        let mean = stds.iter().sum::<f64>() / stds.len().max(1) as f64;
        let middle =
            [stds.len().saturating_sub(1) / 2, stds.len() / 2].map(|place| stds.get(place));
        let median = middle[0].zip(middle[1]).map(|(low, high)| low.midpoint(*high));
        vec![
            net.name.clone(),
            stds.len().to_string(),
            number(Some(&mean)),
            number(stds.first()),
            number(median.as_ref()),
            number(stds.last()),
            net.images.to_string(),
        ]
    });
    text_table(&headers, rows)
}
