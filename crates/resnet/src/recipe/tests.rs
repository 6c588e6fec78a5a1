use resnet_network::optim::{Factors, GroupFactors};

use super::*;
use crate::data::{Flip, PaddingMode};

fn recipe(name: &str, arch: &str) -> Recipe {
    Recipe::named(name, arch.parse().unwrap()).unwrap()
}

#[test]
fn every_listed_recipe_exists_and_survives_toml() {
    for ((name, _), dtype) in Recipe::ALL.into_iter().zip([Dtype::Fp32, Dtype::Bf16].repeat(3)) {
        let recipe = Recipe { dtype, ..recipe(name, "resnet110") };
        assert_eq!(recipe.name, name);
        let text = toml::to_string(&recipe).unwrap();
        assert!(text.contains(&format!("dtype = \"{dtype}\"")), "{text}");
        assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe, "{text}");
    }
    assert!(Recipe::named("slow", "resnet20".parse().unwrap()).is_none());
}

#[test]
fn toml_has_short_decimals() {
    let text = toml::to_string(&recipe("paper", "resnet20")).unwrap();
    for line in
        ["lr = 0.1", "weight_decay = 0.0001", "momentum = 0.9", "steps = 64000", "dtype = \"fp32\""]
    {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn augmentation_is_written_as_before_and_refuses_other_words() {
    let read = |text: &str| toml::from_str::<Augment>(text);
    let write = |augment: Augment| toml::to_string(&augment).unwrap();
    assert_eq!(write(Augment::default()), "pad = 4\nflip = true\n");
    assert_eq!(write(Augment::NONE), "pad = 0\nflip = false\n");
    let all =
        Augment { pad: 2, padding_mode: PaddingMode::Reflect, flip: Flip::Alternating, cutout: 12 };
    let text = "pad = 2\npadding_mode = \"reflect\"\nflip = \"alternating\"\ncutout = 12\n";
    assert_eq!(write(all), text);
    for augment in [Augment::default(), Augment::NONE, all] {
        assert_eq!(read(&write(augment)).unwrap(), augment);
    }
    for (text, complaint) in [
        ("pad = 1\nflip = \"sometimes\"", "expected true, false or \"alternating\""),
        ("pad = 1\nflip = 1", "expected true, false or \"alternating\""),
        ("pad = 1\nflip = true\npadding_mode = \"edge\"", "`zeros` or `reflect`"),
        ("pad = 1\nflip = true\ncutouts = 1", "cutouts"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn the_papers_rates() {
    let recipe_20 = recipe("paper", "resnet20");
    let lr = |r: &Recipe, step| r.lr_at(step, 391, 64_000);
    assert_eq!(lr(&recipe_20, 0), 0.1);
    assert_eq!(lr(&recipe_20, 32_000), 0.01);
    assert_eq!(lr(&recipe_20, 48_000), 0.001);
    let recipe_110 = recipe("paper", "resnet110");
    assert_eq!(lr(&recipe_110, 399), 0.01);
    assert_eq!(lr(&recipe_110, 400), 0.1);
    assert_eq!(lr(&recipe_110, 48_000), 0.001);
}

#[test]
fn muon_follows_the_schedule() {
    let plain = Recipe { muon: None, ..recipe("sprint", "resnet11-sprint") };
    let muon = Muon { lr: 0.25, rescale: 4, ..Muon::default() };
    let with_muon = Recipe { muon: Some(muon), ..plain.clone() };
    for step in [0, 1, 4, 30, 98, 99] {
        let (rates, lr) = (with_muon.rates_at(step, 10, 100), plain.lr_at(step, 10, 100));
        let rate = rates.muon.unwrap();
        assert_eq!(rates.lr, lr);
        assert!((f64::from(rate.lr) / 0.25 - f64::from(lr) / plain.lr).abs() < 1e-6);
        assert_eq!(rate.rescale, step == 0 || step == 4);
        assert_eq!(plain.rates_at(step, 10, 100), lr.into());
    }
    assert!(!Muon { rescale: 0, ..muon }.rescales_at(0));
}

#[test]
fn sizes_follow_the_length() {
    let mut recipe = recipe("walkthrough", "resnet20");
    assert!(!toml::to_string(&recipe).unwrap().contains("image_sizes"));
    assert_eq!(recipe.image_size_at(0, 100), None);
    let phase = |until, size| SizePhase { until, size };
    recipe.image_sizes = vec![phase(0.25, 16), phase(0.5, 24)];
    for total in [100, 4, 64_000] {
        let size = |step| recipe.image_size_at(step, total);
        assert_eq!((size(0), size(total / 4 - 1)), (Some(16), Some(16)));
        assert_eq!((size(total / 4), size(total / 2 - 1)), (Some(24), Some(24)));
        assert_eq!((size(total / 2), size(total)), (None, None));
    }
    let text = toml::to_string(&recipe).unwrap();
    assert!(text.contains("[[image_sizes]]\nuntil = 0.25\nsize = 16\n"), "{text}");
    assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe);

    let check = |phases: &[SizePhase]| image_sizes::check(phases, 32);
    check(&recipe.image_sizes).unwrap();
    check(&[phase(1.0, 32)]).unwrap();
    for phases in [
        &[phase(0.5, 0)][..],
        &[phase(0.5, 33)],
        &[phase(-0.1, 16)],
        &[phase(1.1, 16)],
        &[phase(f64::NAN, 16)],
        &[phase(0.5, 16), phase(0.5, 24)],
        &[phase(0.5, 16), phase(0.25, 24)],
        &[phase(0.5, 16); 1001],
    ] {
        assert!(check(phases).unwrap_err().contains("image_sizes"), "{phases:?}");
    }
}

#[test]
fn small_images_have_no_parts_that_do_not_fit() {
    let arch: Arch = "resnet11-sprint".parse().unwrap();
    let sizes = |to| {
        let sprint = recipe("sprint", "resnet11-sprint").for_image_size(arch, 32, to);
        sprint.image_sizes.iter().map(|phase| phase.size).collect::<Vec<_>>()
    };
    assert_eq!((sizes(64), sizes(16)), (vec![32, 48], vec![8, 12]));
    assert_eq!((sizes(12), sizes(8)), (vec![9], vec![]));
}

#[test]
fn lengths_in_steps() {
    assert_eq!(Length::Epochs(20).steps(1563), 31_260);
    assert_eq!(Length::Steps(64_000).steps(391), 64_000);
    assert_eq!(Length::Epochs(u64::MAX).steps(391), u64::MAX);
}

#[test]
fn settings_are_written_only_where_they_differ() {
    let plain = recipe("walkthrough", "resnet20");
    let text = toml::to_string(&plain).unwrap();
    let new =
        ["identity", "head_scale", "batch_norm_momentum", "whiten", "average", "groups", "muon"];
    assert!(!new.iter().any(|field| text.contains(field)), "{text}");
    let more = "\nidentity = true\nhead_scale = 0.125\nbatch_norm_momentum = 0.4\n";
    let tables = "\n[whiten]\n[sgd.groups.norm_bias]\nlr = 16\nweight_decay = 0.0625\n\
                  [sgd.groups.stem]\nlr = 0.0\n[muon]\nsteps = 5\n";
    let of = |average: &str| -> Recipe {
        let text = text.replace("\ninit = ", &format!("{more}init = "));
        let recipe = toml::from_str(&format!("{text}{tables}[average]\n{average}")).unwrap();
        let written = toml::to_string(&recipe).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&written).unwrap(), recipe, "{written}");
        recipe
    };
    let ema = of("kind = \"ema\"\nevery = 5\ndecay = 0.99\n");
    assert_eq!(ema.average, Some(Average::Ema { every: 5, decay: 0.99 }));
    assert_eq!(ema.whiten, Some(Whiten { eps: 5e-4, images: 5000 }));
    let groups = GroupFactors {
        stem: Factors { lr: 0.0, weight_decay: 1.0 },
        norm_bias: Factors { lr: 16.0, weight_decay: 0.0625 },
        ..GroupFactors::default()
    };
    assert_eq!(ema.optimizer.groups(), &groups);
    assert_eq!(ema.muon, Some(Muon { steps: 5, ..Muon::default() }));
    assert_eq!((ema.identity, ema.head_scale, ema.batch_norm_momentum), (true, 0.125, 0.4));
    let lookahead = of("kind = \"lookahead\"\nevery = 5\ndecay = 0.95\npower = 3\n");
    let average = Average::Lookahead { every: 5, decay: 0.95, power: 3.0 };
    assert_eq!(lookahead, Recipe { average: Some(average), ..ema });
}
