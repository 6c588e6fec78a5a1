//! The paper's protocols of testing, and ensembles, for `eval`: ten crops, several scales, several models.

mod member;
mod results;

use std::path::PathBuf;

use anyhow::{Context, bail};
use resnet::{
    data::ImageSet,
    evaluate::Protocol,
    model_file::{LoadOptions, Model},
};
use resnet_formats::Shown;

use self::member::{Member, Single, mean, trained_on};
pub(crate) use self::results::{MoreResults, Scores, Timed, ViewScores};
use crate::{
    args::{EvalArgs, Global},
    evaluation::{self, Evaluated},
    model,
};

/// The protocols that the options ask for.
pub(crate) fn asked(args: &EvalArgs) -> Vec<Protocol> {
    let scales = Some(&args.scales).filter(|scales| !scales.is_empty());
    let ten_crop = args.ten_crop.then_some(Protocol::TenCrop);
    ten_crop.into_iter().chain(scales.cloned().map(Protocol::Scales)).collect()
}

/// Opens the other models of an ensemble.
pub(crate) fn open_others(args: &EvalArgs, global: &Global) -> anyhow::Result<Vec<Model>> {
    let open = |path: &PathBuf| {
        let mut model = model::open(path, &LoadOptions::default(), global)?;
        args.resizing.apply(&mut model).with_context(|| model.path.shown().to_string())?;
        Ok(model)
    };
    args.with.iter().map(open).collect()
}

/// Evaluates protocols and an ensemble on the images that the first model was evaluated on. What is finished is in
/// `more`, also if the rest fails.
pub(crate) fn run(
    evaluated: &Evaluated,
    others: &[Model],
    args: &EvalArgs,
    global: &Global,
    more: &mut MoreResults,
) -> anyhow::Result<()> {
    let protocols = asked(args);
    if protocols.is_empty() && others.is_empty() {
        return Ok(());
    }
    let members = members(evaluated, others, &protocols, args, global)?;
    let outcome = add_results(&members, evaluated, &protocols, args, global, more);
    if let ImageSet::Photos(photos) = &evaluated.images {
        photos.take_notes().iter().for_each(|note| global.note(note));
    }
    outcome
}

/// The models. The others are checked before one of them is run.
fn members<'a>(
    evaluated: &'a Evaluated,
    others: &'a [Model],
    protocols: &[Protocol],
    args: &EvalArgs,
    global: &Global,
) -> anyhow::Result<Vec<Member<'a>>> {
    let of_photos = match &evaluated.images {
        ImageSet::Photos(photos) => Some(photos.preparation()),
        ImageSet::Memory(_) => None,
    };
    let first = Member {
        model: &evaluated.model,
        images: evaluated.images.clone(),
        normalisation: evaluated.normalisation.clone(),
        preparation: evaluated.preparation.or(of_photos),
        order: (0..evaluated.predictions.classes()).collect(),
        trained_on: match others {
            [] => None,
            _ => trained_on(&evaluated.model, &evaluated.images, global),
        },
    };
    let mut members = vec![first];
    for model in others {
        let member = Member::new(model, evaluated, args.resizing, global);
        let member = member.with_context(|| format!("cannot join {}", model.path.shown()))?;
        evaluation::check(protocols, member.preparation(), &member.normalisation)
            .with_context(|| format!("cannot join {}", model.path.shown()))?;
        members.push(member);
    }
    Ok(members)
}

/// Adds the results of all models, and of their mean if there are several.
fn add_results(
    members: &[Member<'_>],
    evaluated: &Evaluated,
    protocols: &[Protocol],
    args: &EvalArgs,
    global: &Global,
    more: &mut MoreResults,
) -> anyhow::Result<()> {
    let labels = evaluated.images.labels();
    let (mut singles, mut not_finite) = (Vec::new(), None);
    for (place, member) in members.iter().enumerate() {
        let single = match place {
            0 => Single::of_logits(&evaluated.predictions, evaluated.result.seconds),
            _ => member.single_view(args, global)?,
        };
        if members.len() > 1 {
            more.models.push(Scores {
                model: Some(member.model.path.clone()),
                trained_on: member.trained_on,
                single_view: single.timed(labels),
                views: ViewScores::default(),
            });
        }
        not_finite = not_finite.or(member.not_finite(&single));
        singles.push(single);
    }
    if members.len() > 1 {
        more.ensemble = mean(singles, labels).map(|single_view| Scores {
            model: None,
            trained_on: None,
            single_view,
            views: ViewScores::default(),
        });
    }
    for protocol in protocols {
        let mut results = Vec::new();
        for (place, member) in members.iter().enumerate() {
            let result = member.views(protocol, args, global)?;
            let timed = result.timed(labels);
            if place == 0 {
                more.views.set(protocol, timed);
            }
            if let Some(scores) = more.models.get_mut(place) {
                scores.views.set(protocol, timed);
            }
            not_finite = not_finite.or(member.not_finite(&result));
            results.push(result);
        }
        if let (Some(ensemble), Some(mean)) = (&mut more.ensemble, mean(results, labels)) {
            ensemble.views.set(protocol, mean);
        }
    }
    match not_finite {
        Some(why) => bail!(why),
        None => Ok(()),
    }
}
