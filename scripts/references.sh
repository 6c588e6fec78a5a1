# Sourced by scripts that test against PyTorch and other Python libraries. Sets RESNET_PYTHON, unless it is
# set, to a virtual environment under target/ with these libraries, which it creates if missing. Adds cargo to
# PATH.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
if [[ -z ${RESNET_PYTHON:-} ]]; then
    target=${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/../target}
    venv=$(realpath --canonicalize-missing "$target")/python
    if [[ ! -e $venv/complete ]]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install torch torchvision safetensors onnx onnxscript onnxruntime timm tensorboard
        touch "$venv/complete"
    fi
    export RESNET_PYTHON=$venv/bin/python
fi
