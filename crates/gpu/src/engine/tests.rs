use std::sync::mpsc;

use resnet_network::{
    Arch,
    crops::{Crop, CropSettings, Crops, KeptImages},
    network::Init,
    preprocess::Normalisation,
};
use resnet_program::Targets;

use super::*;
use crate::DeviceKind;
use crate::Rule;

const SETTINGS: Settings = Settings {
    dtype: Dtype::Fp32,
    batch: 2,
    eval_batch: 2,
    height: 8,
    width: 8,
    buffers: 1,
    muon: false,
    norm_momentum: 0.1,
    average: false,
};

fn network() -> Network {
    let arch: Arch = "resnet8".parse().unwrap();
    Network::new(arch.graph_with(3, 10, 4), Init::PyTorch, 1)
}

fn step(gpu: &Gpu, settings: &Settings) -> Vec<f32> {
    let net = network();
    let mut engine = GpuEngine::new(gpu, &net, settings).unwrap();
    let x: Vec<f32> = (0..2 * 3 * 8 * 8).map(|i| (i * 31 % 97) as f32 / 50.0).collect();
    let targets = Targets::labels(&[1, 2], 0.0);
    engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), false).unwrap();
    engine.timed_backward(MicroBatch::whole(Input::Nchw(&x), targets)).unwrap();
    engine.gradients().unwrap()
}

/// In how many buffers activations are, and in how many submissions a step is, changes nothing.
#[test]
fn portions_change_no_bit() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let want = step(&gpu, &SETTINGS);
    assert!(want.iter().any(|gradient| *gradient != 0.0));
    let mut small = gpu.clone();
    small.portions.chunk = 20_000;
    small.portions.submission = [100_000, 100_000];
    assert_eq!(step(&small, &SETTINGS), want);
}

/// A device that goes away is an error of every call from then on, not a panic or a wait.
#[test]
fn a_lost_device_is_an_error() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let net = network();
    let mut engine = GpuEngine::new(&gpu, &net, &SETTINGS).unwrap();
    let x = vec![0.5; 2 * 3 * 8 * 8];
    let labels = [1, 2];
    let batch = || MicroBatch::whole(Input::Nchw(&x), Targets::labels(&labels, 0.0));
    engine.backward(batch(), false).unwrap();
    assert!(!gpu.is_lost());
    gpu.device().destroy();
    let _ = engine.backward(batch(), false);
    while engine.outstanding() > 0 {
        // The first may have been done before.
        let _ = engine.result();
    }
    let lost = |result: Result<(), GpuError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    };
    lost(engine.backward(batch(), false));
    lost(engine.update(Rule::Sgd { momentum: 0.9, nesterov: false }, &[]));
    lost(engine.evaluate(false, Input::Nchw(&x), 2).map(drop));
    let (mut network, mut buffers) = (net.clone(), [vec![0.0; net.values().len()]]);
    lost(engine.download(&mut network, &mut buffers, None));
    assert_eq!(network.values(), net.values());
    lost(GpuEngine::new(&gpu, &net, &SETTINGS).map(drop));
    assert!(gpu.is_lost());
    assert!(!Gpu::open(0).unwrap().is_lost(), "it can be opened again");
}

/// What was found first stays the reason, of every clone.
#[test]
fn a_device_that_was_found_lost_stays_so() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let clone = gpu.clone();
    let first = gpu.lost("it does not answer".to_owned());
    assert!(clone.is_lost());
    assert_eq!(clone.lost("its driver gave up".to_owned()), first);
    assert_eq!(clone.idle(), Err(first));
}

/// What is said of a batch that does not fit, and the largest that does.
fn refused(gpu: &Gpu, batch: usize) -> (String, usize) {
    let error = GpuEngine::new(gpu, &network(), &Settings { batch, ..SETTINGS }).unwrap_err();
    let GpuError::Memory { batch: of, reason, fits: Some(fits), .. } = error else {
        panic!("{error}");
    };
    assert_eq!(of, batch);
    (reason, fits)
}

/// Memory that is taken or too small for a batch is found out before a step, and the largest batch that fits is named.
#[test]
fn the_largest_batch_that_fits_is_named() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let mut small = gpu.clone();
    small.portions.memory = Some(8 << 20);
    let (reason, fits) = refused(&small, 4096);
    assert!(reason.ends_with("are refused"), "{reason}");
    assert!((8..4096).contains(&fits), "{fits}");
    let net = network();
    let settings = Settings { batch: fits, ..SETTINGS };
    let mut engine = GpuEngine::new(&small, &net, &settings).unwrap();
    let x = vec![0.5; fits * 3 * 8 * 8];
    let labels = vec![1; fits];
    let batch = MicroBatch::whole(Input::Nchw(&x), Targets::labels(&labels, 0.0));
    engine.backward(batch, false).unwrap();
    engine.result().unwrap();
    drop(engine);
    // What an engine held is free again.
    assert_eq!(GpuEngine::largest_batch(&small, &net, &settings, 0).unwrap(), fits);
    if gpu.info().kind == DeviceKind::Software {
        // It has the machine's memory.
        let none = GpuEngine::largest_batch(&gpu, &net, &settings, usize::MAX);
        assert_eq!(none, Ok(0));
    }
    small.portions.memory = Some(1 << 10);
    assert_eq!(refused(&small, 4).1, 0);

    // A value of the widest layer has 4 KiB an image.
    let mut small = gpu.clone();
    small.portions.reach = 64 << 10;
    let (reason, fits) = refused(&small, 100);
    assert!(reason.contains("kernels reach"), "{reason}");
    assert_eq!(fits, 16);
}

/// Images are kept in what a step leaves, of which what is sent needs a part; steps find room for the rest there.
#[test]
fn images_are_kept_in_the_memory_that_a_batch_leaves() {
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let mut engine = GpuEngine::new(&gpu, &network(), &SETTINGS).unwrap();
    gpu.queue().submit([]);
    engine.idle().unwrap();
    let Some(report) = gpu.device().generate_allocator_report() else {
        eprintln!("what is taken is not known: nothing is tested");
        return;
    };
    let pixels = vec![7_u8; 3 << 19];
    let settings =
        CropSettings { side: 8, channels: 3, reflects: false, cutout: 0, colour: [0; 3] };
    let images = KeptImages { pixels: &pixels, settings };
    let mut are_kept = |bytes: u64| {
        engine.gpu.portions.memory = Some(report.total_allocated_bytes + bytes);
        engine.keep_images(&images).unwrap()
    };
    assert!(!are_kept(1 << 20), "there is no memory for them");
    assert!(!are_kept(2 << 20), "they cannot be sent");
    assert!(are_kept(4 << 20), "there is memory");
    let crop = Crop { image: 8191, top: 0, left: 0, mirrored: false, cutout: [0; 2] };
    let crops = Crops { crops: vec![crop; 2], resampling: None };
    let normalisation = Normalisation::cifar10();
    let input = Input::Crops(&crops, &normalisation);
    let batch = MicroBatch::whole(input, Targets::labels(&[1, 2], 0.0));
    engine.backward(batch, false).unwrap();
    assert!(engine.result().unwrap().loss.is_finite());
}

/// Inference takes as many images at once as there is memory for, says so once, and computes the same.
#[test]
fn fewer_images_at_once_change_no_bit() {
    const IMAGES: usize = 2048;
    let Ok(gpu) = Gpu::open(0) else {
        eprintln!("no device: nothing is tested");
        return;
    };
    let net = network();
    let nodes = net.graph().nodes();
    let pool = nodes[nodes.len() - 1].inputs[0];
    let probes = [nodes[pool].inputs[0]];
    let x: Vec<f32> = (0..IMAGES * 3 * 8 * 8).map(|i| (i * 31 % 97) as f32 / 50.0).collect();
    let plan = |gpu: &Gpu| GpuEvalPlan::new(gpu, net.graph(), Dtype::Fp32, IMAGES, [8, 8], &probes);
    let computed = |gpu: &Gpu| {
        let mut plan = plan(gpu).unwrap();
        plan.load(&net).unwrap();
        let logits = plan.forward(Input::Nchw(&x), IMAGES).unwrap().to_vec();
        (logits, plan.probed(probes[0]).to_vec())
    };
    let (said, notes) = mpsc::channel();
    let other = said.clone();
    gpu.on_note(move |text| said.send(text.to_owned()).unwrap());
    let want = computed(&gpu);
    assert!(notes.try_recv().is_err(), "all fit");
    let mut small = gpu.clone();
    small.portions.memory = Some(8 << 20);
    assert!(computed(&small) == want, "other bits");
    let note = notes.try_recv().unwrap();
    assert!(note.contains("images at once, not for 2048: it computes"), "{note}");
    drop(plan(&small).unwrap());
    assert!(notes.try_recv().is_err(), "it is said twice");

    // Not even a few.
    small.on_note(move |text| other.send(text.to_owned()).unwrap());
    small.portions.memory = Some(1 << 10);
    let error = plan(&small).unwrap_err();
    assert!(matches!(error, GpuError::Memory { batch: 1, fits: Some(0), .. }), "{error}");
    assert!(notes.try_recv().is_err(), "nothing is computed");
}
