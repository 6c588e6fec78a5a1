# For scripts that have PyTorch and others as judges: sets RESNET_PYTHON, where it is not set, to a virtual
# environment below target/ that has them, and makes that at first; puts cargo on the path.
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
