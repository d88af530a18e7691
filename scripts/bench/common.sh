# common.sh -- read by the benchmark scripts of this folder: where things are.
#
#   LORASH_PEER_PYTHON    Python with torch, transformers, peft, trl, datasets, gguf and, for decode,
#                         llama-cpp-python; default python3
#   LORASH_DEMO_MODEL     SmolLM2-135M-Instruct Q4_1 GGUF; default: what scripts/demo-model finds
#   LORASH_BENCH_CSV      rows with columns Name and Symptoms; default: the public set in
#                         ../shared/data, else examples/data/conditions.csv
#   LORASH_BENCH_THREADS  threads of every side; default: all cores
#   LORASH_BENCH_ROUNDS   runs of every command; default 3
#   LORASH_BENCH_NOISY=1  run on a busy machine too (figures are marked)
#   LORASH                the program; default build/lorash
# shellcheck shell=sh disable=SC2034,SC2154 # names set and used by the script that reads this

cd "$root" || exit 1
bench=scripts/bench
python=${LORASH_PEER_PYTHON:-python3}
lorash=${LORASH:-build/lorash}
rounds=${LORASH_BENCH_ROUNDS:-3}
LORASH_BENCH_THREADS=${LORASH_BENCH_THREADS:-$(nproc)}
export LORASH_BENCH_THREADS PYTHONWARNINGS=ignore TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

[ -x "$lorash" ] || die "$lorash is not there; hint: make"
"$python" -c "import ${needs:-torch, transformers, peft, gguf}" 2>/dev/null ||
    die "$python lacks one of: ${needs:-torch, transformers, peft, gguf};" \
        "hint: LORASH_PEER_PYTHON=path/to/venv/bin/python (docs/benchmarks.md)"
model=$(scripts/demo-model) || exit 1

if [ -z "${LORASH_BENCH_CSV-}" ]; then
    LORASH_BENCH_CSV=${LORASH_SHARED:-../shared}/data/diseases_symptoms/Diseases_Symptoms.csv
    [ -r "$LORASH_BENCH_CSV" ] || LORASH_BENCH_CSV=examples/data/conditions.csv
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
