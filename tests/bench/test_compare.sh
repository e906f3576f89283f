#!/usr/bin/env bash
# bench --against and --table: what they say of recorded runs and how they end, each file that they
# refuse, and that they read what --json writes. Usage: test_compare.sh BENCH
set -euo pipefail
bench=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
unset ITO_PEER_TORCH ITO_PEER_ONEDNN ITO_BENCH_COMMIT

# expect STATUS OPTIONS...: it ends so and says what stands on stdin, on either stream.
expect() {
    local status=0 said wanted
    wanted=$(cat)
    said=$("$bench" "${@:2}" 2>&1) || status=$?
    said=${said//"$bench: "/}
    if [ $status != "$1" ] || [ "$said" != "$wanted" ]; then
        printf 'bench %s ended with %s, not %s, and said\n%s\nnot\n%s\n' "${*:2}" $status "$1" \
            "$said" "$wanted" >&2
        failed=1
    fi
}

head='{"ito_bench":1,"date":"yesterday","processor":"A Chip","vendor":"Maker","family":6,"model":7,"isa":"avx2","threads":2,"compiler":"GCC 12.2.0","limits":{"f32":[100,200],"triad":[10,20],"copy":[5,5]}}'
row() { # work dtype threads ms spread
    printf '{"part": "gemm", "work": "%s", "dtype": "%s", "threads": %s, "ms": %s, "spread": %s}\n' "$@"
}

# Each row on its own side of the bound, which is 1.05 without spread, 1.15 with 0.1 on both sides.
{
    echo "$head"
    row steady f32 2 10 0
    row 'just above' f32 2 10 0
    row 'just below' f32 2 10 0
    row 'noisy above' f32 2 10 0.1
    row 'noisy below' f32 2 10 0.1
    row better f32 2 10.6 0
    row 'better, not much' f32 2 10.4 0
    row types f32 2 10 0
    row types bf16 2 5 0
    row threads f32 1 20 0
    row threads f32 2 10 0
    echo '{"part": "gemm", "work": "threads", "dtype": "f32", "threads": 2, "gain_by": "threads", "gain": 2}'
    echo '{"part": "gemm", "work": "skipped", "dtype": "f32", "threads": 2, "skipped": "no memory"}'
    row gone f32 2 10 0
} >old
{
    sed 's/yesterday/today/; s/"compiler"/"commit":"abc","compiler"/; s/200/211/; s/20]/19.1]/; s/"copy"/"new"/' <<<"$head"
    row steady f32 2 10 0
    row 'just above' f32 2 10.51 0
    row 'just below' f32 2 10.49 0
    row 'noisy above' f32 2 11.51 0.1
    row 'noisy below' f32 2 11.49 0.1
    row better f32 2 10 0
    row 'better, not much' f32 2 10 0
    row types f32 2 10 0
    row types bf16 2 10 0
    row threads f32 1 40 0
    row threads f32 2 10 0
    row 'once more' f32 2 3 0
    row 'and more' f32 2 3 0
} >new
expect 3 --against old --from new <<'END'
new, against old
  date: today, was yesterday
  commit: abc, was none
  limit f32: 211, was 200
slower: just above, f32, 2 threads: 10.51 ms, was 10: 1.05 times (noise: 1.05)
slower: noisy above, f32, 2 threads: 11.51 ms, was 10: 1.15 times (noise: 1.15)
slower: types, bf16, 2 threads: 10 ms, was 5: 2.00 times (noise: 1.05)
slower: threads, f32, 1 thread: 40 ms, was 20: 2.00 times (noise: 1.05)
faster: better, f32, 2 threads: 10 ms, was 10.6: 1.06 times (noise: 1.05)
11 rows compared: 4 slower, 1 faster
not compared: 1 only in old, 2 only in new
END
expect 0 --against old --from old <<'END'
old, against old
12 rows compared: 0 slower, 0 faster
END
# Of two times of one work the shorter counts.
{
    cat new
    row 'just above' f32 2 10.2 0
    row 'noisy above' f32 2 12 0
    row types bf16 2 5 0
    row threads f32 1 21 0
} >again
expect 3 --against old --from again <<'END'
again, against old
  date: today, was yesterday
  commit: abc, was none
  limit f32: 211, was 200
slower: noisy above, f32, 2 threads: 11.51 ms, was 10: 1.15 times (noise: 1.15)
faster: better, f32, 2 threads: 10 ms, was 10.6: 1.06 times (noise: 1.05)
11 rows compared: 1 slower, 1 faster
not compared: 1 only in old, 2 only in again
END

# ---- refused
expect 1 --against missing --from new <<<'missing cannot be read: No such file or directory'
expect 1 --against old --from missing <<<'missing cannot be read: No such file or directory'
expect 1 --against . --from new <<<'. cannot be read: Is a directory'
: >empty
expect 1 --against empty --from new <<<'empty is empty'
for first in 'not JSON' '[1]' '3' '{"part": "gemm"}' ''; do
    { echo "$first"; row steady f32 2 10 0; } >headless
    expect 1 --against headless --from new \
        <<<'headless is not what ./run bench --json writes: its first line is no head'
done
sed 's/"ito_bench":1/"ito_bench":2/' old >later
expect 1 --against later --from new \
    <<<'later is of format 2 of the benchmark; this one reads format 1'
long=$(printf 'x%.0s' {1..96})
bad=('not JSON' '[1]' '{"part": "gemm"}' "$head" '' "$(row '' f32 2 1 0)" "$(row a f32 0 1 0)"
    "$(row a f32 1025 1 0)" "$(row a f32 2 0 0)" "$(row a f32 2 -1 0)" "$(row a f32 2 1e999 0)"
    "$(row a f32 2 '"1"' 0)" "$(row a f32 2 1 -1)" "$(row a f32 2 1 null)" "$(row "$long" f32 2 1 0)"
    "$(row a float32x 2 1 0)")
for line in "${bad[@]}"; do
    { cat old; echo "$line"; } >broken
    expect 1 --against broken --from new \
        <<<'broken is not what ./run bench --json writes: line 16 is no row'
done
for change in 's/A Chip/B Chip/' 's/Maker/Baker/' 's/"family":6/"family":25/' 's/"model":7/"model":8/'; do
    sed "$change" new >other
    chip=$(sed -n '1s/.*"processor":"\([^"]*\)","vendor":"\([^"]*\)","family":\([0-9]*\),"model":\([0-9]*\).*/\1 (\2, family \3, model \4)/p' other)
    expect 1 --against old --from other \
        <<<"old was made on another processor: A Chip (Maker, family 6, model 7); other on $chip"
done
sed 's/"threads":2/"threads":4/' new >wider
expect 1 --against old --from wider <<<'old was made with --threads 2, wider with 4'

# ---- tables
{
    sed 's/"compiler"/"caches":"L2 1M","torch":"9.9","compiler"/' <<<"$head"
    cat <<'END'
{"part": "gemm", "work": "product", "dtype": "f32", "threads": 2, "ms": 2, "rate": 100, "spread": 0, "torch_ms": 3, "onednn_ms": 1}
{"part": "gemm", "work": "product", "dtype": "bf16", "threads": 2, "ms": 0.5, "rate": 400, "spread": 0, "torch_ms": 0.25}
{"part": "gemm", "work": "f32 alone", "dtype": "f32", "threads": 2, "ms": 2, "rate": 9.994, "spread": 0}
{"part": "steps", "work": "step", "dtype": "f32", "threads": 1, "ms": 99.4, "rate": 1, "spread": 0, "process_mib": 200}
{"part": "steps", "work": "step", "dtype": "f32", "threads": 2, "ms": 60, "rate": 1, "spread": 0, "torch_ms": 90, "process_mib": 200, "torch_process_mib": 500}
{"part": "steps", "work": "step", "dtype": "bf16", "threads": 2, "ms": 40, "rate": 1, "spread": 0, "torch_ms": 20, "process_mib": 100, "torch_process_mib": 300}
END
} >tables
expect 0 --table tables <<'END'
A Chip (Maker, family 6, model 7), L2 1M; Ito at commit unknown (avx2, GCC 12.2.0), PyTorch 9.9, oneDNN none; yesterday.

| whole steps, ms | f32 | PyTorch | oneDNN | bf16 | PyTorch | oneDNN | bf16 : f32 |
| --- | --- | --- | --- | --- | --- | --- | --- |
| step, one thread | 99.4 | | | | | | |
| step | 60.0 | 1.50 | | 40.0 | 0.50 | | 1.50 |
| step, MiB | 200 | 2.50 | | 100 | 3.00 | | 2.00 |

| products, GFLOP/s | f32 | PyTorch | oneDNN | bf16 | PyTorch | oneDNN | bf16 : f32 |
| --- | --- | --- | --- | --- | --- | --- | --- |
| product | 100 | 1.50 | 0.50 | 400 | 0.50 | | 4.00 |
| f32 alone | 10.0 | | | | | | |

| limit | 1 thread | 2 threads |
| --- | --- | --- |
| multiply-adds in f32, GFLOP/s | 100 | 200 |
| memory, triad, GB/s | 10 | 20 |
| memory, copy, GB/s | 5 | 5 |
END
expect 1 --table empty <<<'empty is empty'

# ---- misused
usage=$("$bench" --help)
for options in '--from new' '--against' '--table' '--threads 0' '--threads' 'nothing'; do
    # shellcheck disable=SC2086
    expect 2 $options <<<"$usage"
done

# ---- what it writes it reads; a file of another processor is refused before anything is measured
"$bench" --json small >here
expect 0 --against here --from here <<'END'
here, against here
2 rows compared: 0 slower, 0 faster
END
said=$("$bench" --against old small 2>&1) && status=0 || status=$?
case $status:${said//"$bench: "/} in
1:'old was made on another processor: A Chip (Maker, family 6, model 7); this run on '*) ;;
*) printf 'bench --against of another processor ended with %s and said\n%s\n' $status "$said" >&2; failed=1 ;;
esac
# Nothing can be a thousand times as slow or as fast as here, so this is no matter of the machine.
sed 's/"ms": [0-9.]*/&e3/' here >slow
sed 's/"ms": [0-9.]*/&e-3/' here >fast
for old in slow:0:faster fast:3:slower; do
    IFS=: read -r file wanted word <<<"$old"
    "$bench" --json --against "$file" small >rows 2>said && status=0 || status=$?
    if [ $status != "$wanted" ] || [ "$(grep -c "^$word: " said)" != 2 ]; then
        printf 'bench --against %s ended with %s and said\n%s\n' "$file" $status "$(cat said)" >&2
        failed=1
    fi
    expect 0 --against rows --from rows <<'END'
rows, against rows
2 rows compared: 0 slower, 0 faster
END
done
exit $failed
