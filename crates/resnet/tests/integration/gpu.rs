//! Training, evaluation and heat maps on a GPU, compared with the processor. Skipped where there is no device of Vulkan, Metal
//! or DirectX 12; Mesa's renderer in software is one.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use resnet::{
    Arch, Cpu, Device, Dtype, Network,
    cam::ActivationMaps,
    config::TrainConfig,
    data::{Augment, Flip, Images, Loader, Normalisation, PaddingMode, transform::Mix},
    engine::{
        DeviceEvalPlan, Engine, EngineConfig, EngineError, Hooks, Input, MicroBatch, StepResult,
        Targets,
        gpu::{Gpu, devices},
    },
    graph::Op,
    network::Init,
    optim::{AdamWConfig, Average, Muon, MuonRate, OptimizerConfig, Rates, SgdConfig},
    recipe::{Recipe, SizePhase},
    run::RunFolder,
    train::{Event, Outcome, StopFlag, TrainError, train},
};

use crate::common::{
    outcome::result,
    small_run::{config, dataset},
};

const BATCH: usize = 6;
const SIDE: usize = 16;

/// The first device, unless there is none to test with.
fn device() -> Option<Device> {
    if devices().is_empty() {
        assert!(std::env::var_os("RESNET_TEST_GPU").is_none(), "no device to test");
        println!("skipped: no device of Vulkan, Metal or DirectX 12 here");
        return None;
    }
    Some(Device::Gpu(Gpu::open(0).unwrap(), Cpu::new(2).unwrap()))
}

fn images() -> (Vec<u8>, Normalisation) {
    let bytes = (0..BATCH * SIDE * SIDE * 3).map(|i| (i * i / 7 % 251) as u8).collect();
    (bytes, Normalisation::new(vec![0.5; 3], vec![0.25; 3]))
}

fn network() -> Network {
    let arch: Arch = "resnet8".parse().unwrap();
    Network::new(arch.graph(10), Init::PyTorch, 1)
}

/// Steps whose results are taken late, with frozen layers and other rates on the way.
fn steps(engine: &mut Engine, clip: bool) -> Result<Vec<StepResult>, EngineError> {
    let (pixels, normalisation) = images();
    let nodes = engine.graph().nodes().to_vec();
    let (mut results, mut late) = (Vec::new(), 0);
    for step in 0..5 {
        if step == 2 {
            // From here on the first stage stays as it is, and the stem has the running statistics.
            let is_first = |name: &str| name.starts_with("conv1") || name.starts_with("bn1");
            let found = (0..nodes.len()).filter(|&node| is_first(&nodes[node].name));
            let frozen: Vec<usize> = found.collect();
            let eval = frozen.iter().copied().filter(|&node| nodes[node].op == Op::BatchNorm2d);
            let eval: Vec<usize> = eval.collect();
            engine.set_rates(|node| if frozen.contains(&node) { 0.0 } else { 0.5 });
            engine.replan(SIDE, SIDE, &frozen, &eval)?;
        }
        let labels: Vec<u32> = (0..BATCH as u32).map(|i| (i * 3 + step) % 10).collect();
        let targets = Targets::labels(&labels, 0.1);
        let batch = MicroBatch::whole(Input::Bytes(&pixels, &normalisation), targets);
        match engine.begin(batch, &mut ())? {
            Some(result) => results.push(result),
            None => late += 1,
        }
        if clip {
            engine.clip_grad_norm(0.5)?;
        }
        let muon = Some(MuonRate { lr: 0.05, rescale: step % 2 == 0 });
        engine.apply(Rates { lr: 0.02, muon })?;
        engine.update_average(0.75)?;
    }
    for _ in 0..late {
        results.push(engine.result()?);
    }
    Ok(results)
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "{what} {i}: {a} for {b}");
    }
}

#[test]
fn steps_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 5e-4, nesterov: true, ..Default::default() };
    let ema = Average::Ema { every: 1, decay: 0.75 };
    let lookahead = Average::Lookahead { every: 1, decay: 0.75, power: 1.0 };
    let with_muon = SgdConfig { momentum: 0.8, ..sgd };
    let muon = Muon { weight_decay: 0.1, ..Muon::default() };
    let cases: [(OptimizerConfig, Option<Muon>, Average, bool); 3] = [
        (sgd.into(), None, ema, true),
        (AdamWConfig::default().into(), None, lookahead, false),
        (with_muon.into(), Some(muon), ema, true),
    ];
    for (optimizer, muon, average, clip) in cases {
        let config = EngineConfig {
            batch: BATCH,
            eval_batch: BATCH,
            height: SIDE,
            width: SIDE,
            optimizer,
            muon,
            average: Some(average),
            ..EngineConfig::default()
        };
        let name = format!("{optimizer:?}");
        let mut gpu = Engine::new(network(), &config, &device).unwrap();
        let mut cpu = Engine::new(network(), &config, device.cpu()).unwrap();
        let (found, expected) = (steps(&mut gpu, clip).unwrap(), steps(&mut cpu, clip).unwrap());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found.loss - expected.loss).abs() < 2e-4, "{name}: {found:?} {expected:?}");
        }
        assert_eq!(found.len(), 5);
        let ((net, buffers), (of_cpu, of_optimizer)) = (gpu.store().unwrap(), cpu.store().unwrap());
        assert_close(net.values(), of_cpu.values(), 2e-3, &name);
        assert_close(net.running_values(), of_cpu.running_values(), 2e-3, &name);
        assert_eq!(net.all_batches_tracked(), of_cpu.all_batches_tracked(), "{name}");
        assert_eq!(buffers.steps, of_optimizer.steps, "{name}");
        for (found, expected) in buffers.values.iter().zip(&of_optimizer.values) {
            assert_close(found, expected, 2e-2, &name);
        }
        let averages = [&gpu, &cpu].map(|engine| engine.evaluated().unwrap());
        assert_close(averages[0].values(), averages[1].values(), 2e-3, &name);
        assert_eq!(averages[0].all_batches_tracked(), averages[1].all_batches_tracked());

        let (pixels, normalisation) = images();
        let input = Input::Bytes(&pixels, &normalisation);
        let logits = gpu.evaluate(input, BATCH).unwrap().to_vec();
        assert_close(&logits, cpu.evaluate(input, BATCH).unwrap(), 5e-3, &name);
        let features = gpu.evaluated_features(input, BATCH).unwrap();
        assert_eq!(features.len(), BATCH * gpu.features_len());
        let of_features = gpu.evaluate(Input::Features(&features), BATCH).unwrap();
        assert_close(of_features, &logits, 1e-6, &name);

        // What was stored is what is loaded: the same steps have the same bits.
        let (network, buffers) = gpu.store().unwrap();
        let (network, buffers) = (network.clone(), buffers.clone());
        let mut again = || {
            gpu.load(network.clone(), buffers.clone());
            let results = steps(&mut gpu, clip).unwrap();
            (results, gpu.store().unwrap().0.values().to_vec())
        };
        assert_eq!(again(), again(), "{name}");
    }
}

#[test]
fn logits_probes_and_maps_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    let (pixels, normalisation) = images();
    let input = Input::Bytes(&pixels, &normalisation);
    let net = network();
    let probe = net.graph().nodes().iter().position(|node| node.name == "layer2.0.bn1").unwrap();
    let plan = |device: &Device| {
        let graph = net.graph();
        let mut plan =
            DeviceEvalPlan::new(graph, Dtype::Fp32, BATCH, SIDE, SIDE, &[probe], device).unwrap();
        plan.load(&net).unwrap();
        let logits = plan.forward(input, BATCH).unwrap().to_vec();
        (logits, plan.probed(probe, 2))
    };
    let ((found, of_probe), (logits, expected)) = (plan(&device), plan(&device.cpu().into()));
    assert_close(&found, &logits, 1e-4, "logits");
    assert_eq!(of_probe.0, expected.0);
    assert_close(&of_probe.1, &expected.1, 1e-4, "probe");

    let maps = |device: &Device| {
        let mut maps = ActivationMaps::new(&net, Dtype::Fp32, BATCH, SIDE, SIDE, device).unwrap();
        maps.forward(input, 3).unwrap();
        [maps.map(1, 4).values, maps.features(2)]
    };
    for (found, expected) in maps(&device).iter().zip(maps(&device.cpu().into())) {
        assert_close(found, &expected, 1e-4, "map");
    }
}

/// Epochs of more steps than are late.
fn long_epochs() -> TrainConfig {
    let mut config = config();
    config.recipe.batch_size = 4;
    config.total_steps = config.epochs() * config.steps_per_epoch();
    assert!(config.steps_per_epoch() > 8, "{} steps", config.steps_per_epoch());
    config
}

/// Trains, and stops at once after `stop` steps were counted. Returns the outcome, and step and batch at the end.
fn run(folder: &Path, device: &Device, stop: Option<u64>) -> (Outcome, [u64; 2]) {
    let folder = match folder.join("config.toml").exists() {
        true => RunFolder::resume(folder).unwrap(),
        false => RunFolder::create(folder, &long_epochs()).unwrap(),
    };
    let flag = StopFlag::new(0);
    let mut last = [0; 2];
    let outcome = train(&folder, dataset(), device, &flag, &mut |event| {
        if let Event::Batch(batch) = event {
            last = [batch.step, batch.batch];
            if Some(batch.step) == stop {
                flag.store(2, Relaxed);
            }
        }
    });
    (outcome.unwrap(), last)
}

#[test]
fn a_run_that_is_stopped_within_an_epoch_ends_with_the_same_bits() {
    let Some(device) = device() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| dir.path().join(name));
    assert!(matches!(run(&whole, &device, None).0, Outcome::Finished(_)));
    for stop in [2, 14] {
        let (outcome, [step, batch]) = run(&cut, &device, Some(stop));
        assert_eq!(outcome, Outcome::Interrupted(2));
        // In the middle of an epoch, with those that were begun.
        let epoch = long_epochs().steps_per_epoch();
        assert!((1..epoch).contains(&batch) && (stop..stop + 5).contains(&step), "{batch}, {step}");
    }
    assert!(matches!(run(&cut, &device, None).0, Outcome::Finished(_)));
    assert_eq!(result(&cut), result(&whole));
}

/// Augmentations of every kind; with padding above the image's size, a crop can miss the image.
fn augmentations() -> [Augment; 6] {
    let (zeros, reflect) = (PaddingMode::Zeros, PaddingMode::Reflect);
    [
        (0, zeros, Flip::Never, 0),
        (4, zeros, Flip::Never, 0),
        (0, zeros, Flip::Random, 0),
        (0, zeros, Flip::Never, 5),
        (30, zeros, Flip::Random, 3),
        (30, reflect, Flip::Alternating, 12),
    ]
    .map(|(pad, padding_mode, flip, cutout)| Augment { pad, padding_mode, flip, cutout })
}

#[test]
fn crops_of_kept_images_have_the_bits_of_the_loaders_pixels() {
    let Some(device) = device() else { return };
    for (channels, side) in [(3, SIDE), (1, 13)] {
        let n = 2 * BATCH + 3;
        let pixels = (0..n * side * side * channels).map(|i| (i * i / 7 % 251) as u8).collect();
        let labels = (0..n as u32).collect();
        let images = Arc::new(Images { height: side, width: side, channels, pixels, labels });
        let (mean, std) = (vec![0.5, 0.25, 0.75], vec![0.25; 3]);
        let normalisation = Normalisation::new(mean, std).for_channels(channels);
        let arch: Arch = "resnet8".parse().unwrap();
        let net = Network::new(arch.graph_with(channels, 10, arch.width()), Init::PyTorch, 1);
        let config =
            EngineConfig { batch: BATCH, height: side, width: side, ..EngineConfig::default() };
        let mut engine = Engine::new(net, &config, &device).unwrap();
        for augment in augmentations() {
            let loader = Loader::new(images.clone(), BATCH, augment, 3).with_mean(&normalisation);
            assert!(engine.keep_images(&loader.to_keep().unwrap()).unwrap());
            // The last batch is smaller, and has the images' own size.
            let epoch = |loader: &Loader| loader.epoch_in_sizes(1, 0, vec![8, 12]).unwrap();
            for (of_pixels, batch) in epoch(&loader).zip(epoch(&loader.clone().with_crops())) {
                engine.replan(batch.height, batch.width, &[], &[]).unwrap();
                let bytes = Input::Bytes(&of_pixels.pixels, &normalisation);
                let crops = Input::Crops(batch.crops.as_ref().unwrap(), &normalisation);
                let mut features = |input| engine.features(input, batch.labels.len()).unwrap();
                assert_eq!(features(crops), features(bytes), "{augment:?} {}", batch.height);
            }
        }
    }
}

#[test]
fn a_run_has_the_same_bits_with_images_that_are_uploaded() {
    let Some(device) = device() else { return };
    let dir = tempfile::tempdir().unwrap();
    let result_of = |name: &str, mix| {
        let mut config = config();
        config.recipe.image_sizes = vec![SizePhase { until: 0.5, size: 16 }];
        // A batch that could be mixed is uploaded; nothing is mixed here.
        config.recipe.mix = mix;
        let folder = RunFolder::create(&dir.path().join(name), &config).unwrap();
        train(&folder, dataset(), &device, &StopFlag::new(0), &mut |_| {}).unwrap();
        result(folder.path()).without_recipe()
    };
    assert_eq!(result_of("kept", None), result_of("uploaded", Some(Mix::default())));
}

#[test]
fn what_only_the_processor_does_is_refused_by_name() {
    let Some(device) = device() else { return };
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, change: &dyn Fn(&mut Recipe)| {
        let mut config = config();
        change(&mut config.recipe);
        let folder = RunFolder::create(&dir.path().join(name), &config).unwrap();
        let error = train(&folder, dataset(), &device, &StopFlag::new(0), &mut |_| {}).unwrap_err();
        assert!(matches!(error, TrainError::Engine(EngineError::CpuOnly(_))), "{error}");
        error.to_string()
    };
    assert!(refused("shards", &|recipe| recipe.parallel.shards = 2).contains("--shards"));
}

/// Hooks that would do something, if they were called.
struct AnyHooks;

impl Hooks for AnyHooks {}

#[test]
fn what_only_the_processor_has_is_an_error_and_the_engine_goes_on() {
    let Some(device) = device() else { return };
    let config = EngineConfig {
        batch: BATCH,
        eval_batch: BATCH,
        height: SIDE,
        width: SIDE,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(network(), &config, &device).unwrap();
    let (pixels, normalisation) = images();
    let targets = Targets::labels(&[1; BATCH], 0.0);
    let batch = MicroBatch::whole(Input::Bytes(&pixels, &normalisation), targets);
    let error = engine.backward(batch, &mut AnyHooks).unwrap_err();
    assert_eq!(error.to_string(), "a step with hooks is not available on a GPU");
    assert!(matches!(engine.gradients_mut(), Err(EngineError::CpuOnly(_))));
    assert!(matches!(engine.running_mut(), Err(EngineError::CpuOnly(_))));
    assert!(matches!(engine.plan_summary(), Err(EngineError::CpuOnly(_))));
    let first = engine.backward(batch, &mut ()).unwrap();
    engine.apply(0.01).unwrap();
    assert!(engine.backward(batch, &mut ()).unwrap().loss < first.loss);
}
