#!/bin/sh
# Draw faces of 128 pixels, train on pairs and then against a discriminator: one command for a card or a core.
#
#     training/train_128.sh OUTPUT_DIR [MINUTES=8] [DEVICE=cuda] [FACES=50000]
#
# OUTPUT_DIR receives `paired` and `adversarial`, each with its checkpoint, log, sheets and generator.safetensors,
# written every minute; the same command goes on where it was cut off. MINUTES are those of training, three of eight
# on pairs, one of eight where a finished generator is gone on from. Of the environment: DATA is where the faces lie,
# or are drawn by `node` or, where there is none, by `training/node.xz` (OUTPUT_DIR-faces by default); START a
# generator to begin with, a file or a bundled name; WIDTHS, BATCH and KEEP_EVERY are the run's options.
set -eu
output=$1 minutes=${2:-8} device=${3:-cuda} faces=${4:-50000}
here=$(cd "$(dirname "$0")" && pwd)
data=${DATA:-$output-faces}
batch=${BATCH:-64}
mkdir -p "$output"

if [ ! -f "$data/labels.json" ]; then
    node=$(command -v node || true)
    if [ -z "$node" ]; then
        node=$data/node
        mkdir -p "$data"
        python3 -c "import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], 'wb'))" \
            "$here/node.xz" "$node"
        chmod +x "$node"
    fi
    "$node" "$here/draw_faces.mjs" "$data" "$faces" 128 0 "$(nproc)"
fi

eighths=3
if [ -n "${START:-}" ]; then eighths=1; fi
pairs=$(python3 -c "print($minutes * $eighths / 8)")
against=$(python3 -c "print($minutes * (8 - $eighths) / 8)")
common="--device $device --batch $batch --symmetry-weight 0.5 --keep-every ${KEEP_EVERY:-60}"
if [ "$device" = cpu ]; then common="$common --threads 1"; fi
python3 "$here/paired.py" "$data" "$output/paired" --minutes "$pairs" ${START:+--start "$START"} \
    ${WIDTHS:---channel-base 3072 --channel-max 192} $common
python3 "$here/adversarial.py" "$data" "$output/paired/generator.safetensors" "$output/adversarial" \
    --minutes "$against" --discriminator-width 1 $common
