//! The types of signatures are in the crate itself: a program needs no other of this workspace.

use std::fs;

use resnet::{
    Algorithms, Arch, Cpu, CpuError, Isa, Network,
    formats::{Destination, FormatError, NamedTensors},
    model_file::{Model, ModelFileError, SaveFormat},
    network::Init,
};

#[test]
fn an_instruction_set_is_chosen_by_name() {
    let exact = |isa| -> Result<Cpu, CpuError> {
        Ok(Cpu::with_isa(1, isa)?.with_algorithms(Algorithms::Direct))
    };
    let isa: Isa = Isa::available()[0].name().parse().unwrap();
    let cpu = exact(isa).unwrap();
    assert_eq!((cpu.isa(), cpu.algorithms()), (isa, Algorithms::Direct));
}

#[test]
fn a_model_is_saved_to_a_destination_and_a_damaged_file_names_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("net.safetensors");
    let arch: Arch = "resnet8".parse().unwrap();
    let model = Model::new(arch, Network::new(arch.graph(10), Init::PyTorch, 0));
    model.save(Destination::Follow(&file), SaveFormat::Safetensors).unwrap();
    let stored: NamedTensors = Model::load(&file, None).unwrap().network.state_dict();
    assert_eq!(stored, model.network.state_dict());

    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = Model::load(&file, None).unwrap_err();
    let ModelFileError::Format(FormatError { path, .. }) = error else { panic!("{error}") };
    assert_eq!(path, file);
}
