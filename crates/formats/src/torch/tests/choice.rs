//! Which of the things in a file is the model.

use super::{build::*, *};

fn load(code: Code) -> Checkpoint {
    from_bytes(&file(code, &[])).unwrap()
}

fn error(code: Code) -> FormatErrorKind {
    from_bytes(&file(code, &[])).unwrap_err()
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.model.iter().map(|(name, _)| &name[..]).collect()
}

/// A state dict of one tensor of this name.
fn weights(name: &str) -> Code {
    dict(&[(name, one())])
}

#[test]
fn a_model_under_any_of_the_keys_is_found() {
    for key in [
        "state_dict",
        "model_state_dict",
        "model_state",
        "model",
        "net",
        "network",
        "weights",
        "module",
        "ema",
        "anything",
    ] {
        let checkpoint = load(dict(&[("epoch", int(3)), (key, weights("a"))]));
        assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
        assert_eq!(names(&checkpoint), ["a"]);
        assert_eq!(checkpoint.scalars, [("epoch".into(), Scalar::Int(3))]);
    }
    // In a dict in a dict.
    let inner = dict(&[("state_dict", weights("a")), ("epoch", int(3))]);
    assert_eq!(names(&load(dict(&[("model", inner)]))), ["a"]);
}

#[test]
fn averages_come_first() {
    let both = dict(&[("model", weights("b")), ("ema", weights("a")), ("other", weights("c"))]);
    let found = load(both);
    assert_eq!(names(&found), ["a"]);
    assert_eq!((found.key.as_deref(), found.other_keys), (Some("ema"), vec!["model".to_owned()]));
    let second = dict(&[("other", weights("c")), ("model_ema", weights("a"))]);
    assert_eq!(names(&load(second)), ["a"]);
    // As Ultralytics has it after training.
    let none = load(dict(&[("model", weights("b")), ("ema", none())]));
    assert_eq!((names(&none), none.other_keys.len()), (vec!["b"], 0));
}

#[test]
fn weights_are_chosen_by_key() {
    let inner = dict(&[("student", weights("c")), ("teacher", weights("d"))]);
    let all = dict(&[("ema", weights("a")), ("net", weights("b")), ("state_dict", inner)]);
    let bytes = file(all, &[]);
    let chosen = |weights: &str| {
        parse_weights(&bytes, &weights.parse().unwrap()).map(|found| names(&found)[0].to_owned())
    };
    for (weights, name) in [("ema", "a"), ("net", "b"), ("teacher", "d"), ("student", "c")] {
        assert_eq!(chosen(weights).unwrap(), name, "{weights}");
    }
    // Another name may be a part of the tensors' names.
    assert_eq!(chosen("encoder_k").unwrap(), "a");
    let both = file(dict(&[("ema", weights("a")), ("net", weights("b"))]), &[]);
    let found = parse_weights(&both, &Weights::Model).unwrap();
    assert_eq!((names(&found), &found.other_keys[..]), (vec!["b"], &["ema".to_owned()][..]));
}

#[test]
fn two_that_are_equally_good_are_an_error() {
    for keys in [["model", "net"], ["generator", "discriminator"], ["ema", "model_ema"]] {
        let both = dict(&keys.map(|key| (key, weights(key))));
        match error(both) {
            FormatErrorKind::SeveralModels(mut found) => {
                found.sort();
                let mut keys = keys.map(|key| format!("'{key}'"));
                keys.sort();
                assert_eq!(found, keys);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_file_without_a_model_says_what_it_holds() {
    let message = error(dict(&[("epoch", int(3)), ("args", dict(&[]))])).to_string();
    assert!(message.contains("a dict of 2: 'epoch' (an integer), 'args' (a dict)"), "{message}");
    assert!(error(list(&[])).to_string().contains("it is a list"));
    assert!(error(dict(&[])).to_string().contains("an empty dict"));
    let message = error(object("__main__.Net", &[])).to_string();
    assert!(message.contains("an object of class __main__.Net"), "{message}");
    // An optimizer alone is none.
    let sgd = dict(&[("state", keyed(&[(int(0), weights("momentum_buffer"))]))]);
    assert!(matches!(error(dict(&[("optimizer", sgd)])), FormatErrorKind::NoModel(_)));
    let array = || call("numpy._core.multiarray._reconstruct", &[none()]);
    let arrays = error(dict(&[("a", array()), ("b", array())])).to_string();
    assert!(arrays.contains("a dict of 2 NumPy arrays: save torch tensors"), "{arrays}");
}

#[test]
fn tensors_among_other_things_are_a_state_dict() {
    let checkpoint = load(dict(&[("a", one()), ("epoch", int(3))]));
    assert_eq!(checkpoint.layout, TorchLayout::StateDict);
    assert_eq!(names(&checkpoint), ["a"]);
    assert_eq!(checkpoint.scalars, [("epoch".into(), Scalar::Int(3))]);
}

#[test]
fn two_tensors_of_one_name_are_an_error() {
    let twice = dict(&[("a", one()), ("a", one())]);
    assert!(matches!(error(twice), FormatErrorKind::DuplicateName(name) if name == "a"));
}

/// An `nn.Module`.
fn module(
    class: &str,
    parameters: &[(&str, Code)],
    buffers: &[(&str, Code)],
    hidden: &[&str],
    children: &[(&str, Code)],
) -> Code {
    let hidden = list(&hidden.iter().map(|name| text(name)).collect::<Vec<_>>());
    object(
        class,
        &[
            ("_parameters", dict(parameters)),
            ("_buffers", dict(buffers)),
            ("_non_persistent_buffers_set", call("__builtin__.set", &[hidden])),
            ("_modules", dict(children)),
        ],
    )
}

#[test]
fn modules_are_walked() {
    let parameter = call("torch._utils._rebuild_parameter", &[one(), none(), none()]);
    let leaf = module(
        "torch.nn.modules.batchnorm.BatchNorm2d",
        &[("weight", parameter), ("bias", none())],
        &[("running_mean", one()), ("cache", one())],
        &["cache"],
        &[],
    );
    let net = module(
        "__main__.Net",
        &[("scale", one())],
        &[],
        &[],
        &[("bn", leaf.clone()), ("nothing", none()), ("again", leaf)],
    );
    let expected = ["scale", "bn.weight", "bn.running_mean", "again.weight", "again.running_mean"];
    let checkpoint = load(net.clone());
    assert_eq!((checkpoint.layout, names(&checkpoint)), (TorchLayout::Module, expected.to_vec()));
    // Data parallel, and under a key.
    let class = "torch.nn.parallel.data_parallel.DataParallel";
    let wrapped = module(class, &[], &[], &[], &[("module", net)]);
    let expected = expected.map(|name| format!("module.{name}"));
    assert_eq!(names(&load(wrapped.clone())), expected);
    let checkpoint = load(dict(&[("net", wrapped), ("acc", float(0.5))]));
    assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
    assert_eq!(names(&checkpoint), expected);
    assert_eq!(checkpoint.modules[1].class, "__main__.Net");
}

#[test]
fn modules_say_what_they_are() {
    let conv = |stride: Code| {
        object(
            "torch.nn.modules.conv.Conv2d",
            &[
                ("_parameters", dict(&[("weight", one())])),
                ("_modules", dict(&[])),
                ("stride", stride),
                ("padding", text("same")),
                ("bias", b"\x89".to_vec()),
                ("eps", float(0.001)),
                ("norm", global("torch.nn.modules.batchnorm.BatchNorm2d")),
                ("more", dict(&[])),
                ("_hidden", int(1)),
            ],
        )
    };
    let net = module("__main__.Net", &[], &[], &[], &[("a", conv(ints(&[2, 1])))]);
    let modules = load(net).modules;
    let [whole, conv] = &modules[..] else { panic!("{modules:?}") };
    assert_eq!((&*whole.path, &*whole.class, whole.has_children), ("", "__main__.Net", true));
    assert_eq!((&*conv.path, conv.has_children), ("a", false));
    let norm = Attribute::Global("torch.nn.modules.batchnorm.BatchNorm2d".into());
    let expected = [
        ("stride", Attribute::Numbers(vec![2.0, 1.0])),
        ("padding", Attribute::Text("same".into())),
        ("bias", Attribute::Bool(false)),
        ("eps", Attribute::Number(0.001)),
        ("norm", norm),
    ];
    assert_eq!(conv.attributes, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(conv.attribute("eps"), Some(&Attribute::Number(0.001)));
    assert_eq!(conv.attribute("more"), None);
}

#[test]
fn class_names_are_a_list() {
    let named = |value: Code| {
        let found = load(dict(&[("model", weights("a")), ("names", value)])).scalars;
        found.into_iter().next().map(|(_, value)| value)
    };
    let names = Some(Scalar::TextList(vec!["cat".into(), "dog".into()]));
    let numbered = |a: Code, b: Code| keyed(&[(b, text("dog")), (a, text("cat"))]);
    assert_eq!(named(numbered(int(0), int(1))), names);
    assert_eq!(named(numbered(text("0"), text("1"))), names);
    assert_eq!(named(dict(&[("dog", int(1)), ("cat", int(0))])), names);
    for (a, b) in [(int(1), int(2)), (int(0), int(0)), (int(-1), int(0)), (text("x"), text("y"))] {
        assert_eq!(named(numbered(a, b)), None);
    }
    // In the settings of another program.
    let settings = dict(&[("class_names", list(&[text("cat")])), ("lr", float(0.1))]);
    let found = load(dict(&[("model", weights("a")), ("hyper_parameters", settings)])).scalars;
    let expected = Scalar::TextList(vec!["cat".into()]);
    assert_eq!(found, [("hyper_parameters.class_names".into(), expected)]);
}

fn sgd_group(more: &[(&str, Code)]) -> Code {
    let numbers = [("lr", 0.1), ("momentum", 0.9), ("dampening", 0.0), ("weight_decay", 1e-4)];
    let mut group: Vec<_> = numbers.map(|(key, value)| (key, float(value))).to_vec();
    group.push(("params", list(&[int(94_000), int(93_000)])));
    group.extend_from_slice(more);
    dict(&group)
}

fn adam_group(weight_decay: f64, more: &[(&str, Code)]) -> Code {
    let betas = list(&[float(0.9), float(0.999)]);
    let mut group = vec![("lr", float(0.1)), ("betas", betas), ("eps", float(1e-8))];
    group.extend([("weight_decay", float(weight_decay)), ("params", list(&[int(0)]))]);
    group.extend_from_slice(more);
    dict(&group)
}

fn with_optimizer(state: &[(Code, Code)], group: Code) -> Checkpoint {
    let optimizer = dict(&[("state", keyed(state)), ("param_groups", list(&[group]))]);
    load(dict(&[("model", weights("a")), ("optimizer", optimizer)]))
}

#[test]
fn optimizers_that_are_not_read_are_left_out_with_a_reason() {
    let buffer = |value| keyed(&[(text("momentum_buffer"), value)]);
    // Parameters that are numbered by address; one without a buffer.
    let state = [(int(93_000), buffer(one())), (int(94_000), buffer(none()))];
    let sgd = with_optimizer(&state, sgd_group(&[])).optimizer.unwrap();
    let held = vec![("momentum_buffer", Tensor::f32(&[1], vec![1.0]))];
    assert_eq!(sgd.state, [vec![], held]);

    let stray = [(int(1), buffer(one()))];
    // Before PyTorch 1.12 the step was an integer.
    let state = [(int(0), keyed(&[(text("exp_avg"), one()), (text("step"), int(5))]))];
    let adamw = [("decoupled_weight_decay", b"\x88".to_vec())];
    let adamw = with_optimizer(&state, adam_group(0.1, &adamw)).optimizer.unwrap();
    let rule = OptimizerRule::AdamW { betas: [0.9, 0.999], eps: 1e-8 };
    assert_eq!((adamw.groups[0].rule, adamw.groups[0].weight_decay), (rule, 0.1));
    let (one, five) = (Tensor::f32(&[1], vec![1.0]), Tensor::f32(&[], vec![5.0]));
    assert_eq!(adamw.state, [vec![("exp_avg", one), ("step", five)]]);

    for (checkpoint, reason) in [
        (with_optimizer(&stray, sgd_group(&[])), "a parameter that it does not have"),
        (with_optimizer(&[], sgd_group(&[("maximize", b"\x88".to_vec())])), "maximizes"),
        (
            with_optimizer(&[], dict(&[("lr", float(0.1)), ("params", list(&[]))])),
            "neither SGD's nor AdamW's",
        ),
        (with_optimizer(&[], adam_group(1e-4, &[])), "may be Adam's"),
        (with_optimizer(&[], adam_group(0.0, &[("amsgrad", b"\x88".to_vec())])), "amsgrad"),
        (
            load(dict(&[("model", weights("a")), ("optim", object("torch.optim.SGD", &[]))])),
            "'optim' is not the state dict of an optimizer",
        ),
    ] {
        assert_eq!(checkpoint.optimizer, None);
        let note = checkpoint.optimizer_note.unwrap();
        assert!(note.contains(reason), "{note}");
    }
}

#[test]
fn plain_values_of_every_kind_are_kept() {
    let numpy = |kind: &str, order: &str, bytes: &[u8]| {
        let dtype = call("numpy.dtype", &[text(kind), none(), none()]);
        let state = tuple(&[int(3), text(order), none(), none(), none()]);
        let dtype = [dtype, state, b"b".to_vec()].concat();
        let bytes = [&b"C"[..], &[bytes.len() as u8], bytes].concat();
        call("numpy.core.multiarray.scalar", &[dtype, bytes])
    };
    let scalar = view(storage("torch.cuda.FloatStorage", "one", 1), 0, &[], &[]);
    let checkpoint = load(dict(&[
        ("model", weights("a")),
        ("arch", text("resnet18")),
        ("classes", list(&[text("cat"), text("dog")])),
        ("best", scalar),
        ("f8", numpy("f8", "<", &2.5f64.to_le_bytes())),
        ("i8", numpy("i8", ">", &7i64.to_be_bytes())),
        ("done", b"\x89".to_vec()),
        ("nothing", none()),
        ("args", object("argparse.Namespace", &[("lr", float(0.1))])),
    ]));
    let expected = [
        ("arch", Scalar::Text("resnet18".into())),
        ("classes", Scalar::TextList(vec!["cat".into(), "dog".into()])),
        ("best", Scalar::Float(1.0)),
        ("f8", Scalar::Float(2.5)),
        ("i8", Scalar::Int(7)),
        ("done", Scalar::Bool(false)),
    ];
    let expected = expected.map(|(name, scalar)| (name.to_owned(), scalar));
    assert_eq!(checkpoint.scalars, expected);
}
