#!/bin/sh
# report.html of a tiny run, and compare.html of two, in Chromium, narrow and wide: no error on its
# console, every chart has its line, every image is there and nothing is cut off.    report.sh BUILD
set -eu
program=$(realpath "$1")/examples/ito-ddpm
script=$(realpath "$(dirname "$0")/report.js")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

for run in run other; do
    "$program" train --data fashion-mnist --out $run --steps 40 --sample-every 20 --sample-count 4 \
        --channels 8 --multipliers 1,2 --blocks 1 --batch 4 --diffusion-steps 20 2>log ||
        { cat log >&2; exit 1; }
done
"$program" compare run other >/dev/null 2>&1
cp run/report.html .

for page in report compare; do
    { cat $page.html && echo '<script>' && cat "$script" && echo '</script>'; } >page.html

    # Frames, since a window cannot be made narrower than 500 pixels.
    for width in 400 1200; do
        echo "<iframe src=\"page.html\" style=\"width: ${width}px; height: 900px; border: 0\"></iframe>"
    done >frames.html
    chromium --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --window-size=1300,2000 \
        --enable-logging=stderr --dump-dom "file://$work/frames.html" >dom.html 2>log ||
        { cat log >&2; exit 1; }
    if grep CONSOLE log | grep -v 'looked at' >&2; then
        exit 1
    fi
    grep -q 'looked at in 400 pixels' log && grep -q 'looked at in 1200 pixels' log
done
