/* HTML pages of runs.
 * Invariant: a page needs nothing outside of it (style, charts and images are inside), and every
 * text that is not its own is escaped. */
#include "examples/ddpm/page.h"

#include "examples/common/chart.h"
#include "examples/common/html.h"

#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_IMAGE = 64 << 20 };

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1f2328;--paper:#fff;--rule:#d8dee4;--card:#f6f8fa;"
    "--c0:#1f6feb;--c1:#d1242f;--c2:#1a7f37;--c3:#9a6700;--c4:#8250df;--c5:#1b7c83;--c6:#bf3989;"
    "--c7:#57606a}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--rule:#30363d;"
    "--card:#161b22;--c0:#58a6ff;--c1:#ff7b72;--c2:#3fb950;--c3:#d29922;--c4:#bc8cff;--c5:#39c5cf;"
    "--c6:#f778ba;--c7:#8b949e}}"
    "body{margin:0 auto;padding:1rem;max-width:64rem;font:16px/1.5 system-ui,sans-serif;"
    "color:var(--ink);background:var(--paper)}"
    "h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin-top:2rem}"
    ".figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem}"
    ".figures div{background:var(--card);border-radius:.5rem;padding:.5rem .8rem}"
    ".figures b{display:block;font-size:1.2rem}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));"
    "gap:1rem}"
    ".grids figure{margin:0;display:none}.grids figure:last-of-type{display:block}.grids "
    "img{width:100%;max-width:36rem;image-rendering:pixelated;display:block}"
    ".grids input{width:100%;max-width:36rem}"
    "table{border-collapse:collapse}td{border-bottom:1px solid var(--rule);padding:.15rem .8rem "
    ".15rem 0;vertical-align:top;overflow-wrap:anywhere}"
    "pre{background:var(--card);border-radius:.5rem;padding:.8rem;white-space:pre-wrap;"
    "overflow-wrap:anywhere}pre span{display:inline-block}"
    ".chart .c4{stroke:var(--c4)}.chart .c5{stroke:var(--c5)}.chart .c6{stroke:var(--c6)}"
    ".chart .c7{stroke:var(--c7)}"
    "th{text-align:left;padding:.15rem .8rem .15rem 0;overflow-wrap:anywhere}"
    ".wide{overflow-x:auto}.number{text-align:right;white-space:nowrap}"
    ".bar{background:var(--c0);height:.7rem;border-radius:.2rem}"
    ".beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr));gap:"
    "1rem}"
    ".beside figure{margin:0}.beside img{width:100%;image-rendering:pixelated;display:block}"
    ".mark{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.4rem}"
    /* charts shrink on a narrow page, but their letters should not */
    "@media(max-width:34rem){.charts .chart{font-size:16px}.charts .chart .title{font-size:17px}}";

void page_begin(FILE *out, const char *title, const char *what)
{
    char when[64] = "";
    time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    html_text(out, title);
    fprintf(
        out,
        "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>%s\n%s</style>\n</head>\n<body>\n"
        "<h1>",
        style, chart_style);
    html_text(out, title);
    fprintf(out, "</h1>\n<p>%s; written %s.</p>\n", what, when);
}

void page_end(FILE *out)
{
    fputs("</body>\n</html>\n", out);
}

void page_figure(FILE *out, const char *label, const char *format, double value)
{
    char text[64] = "none yet";
    if (isfinite(value))
        snprintf(text, sizeof text, format, value);
    page_text_figure(out, label, text);
}

void page_text_figure(FILE *out, const char *label, const char *text)
{
    fputs("<div>", out);
    html_text(out, label);
    fputs("<b>", out);
    html_text(out, text);
    fputs("</b></div>\n", out);
}

bool page_image(FILE *out, const char *path, const char *alt, const char *caption)
{
    int64_t size;
    char *data = path != NULL ? ito_file_read(path, MAX_IMAGE, &size) : NULL;
    if (data == NULL) {
        ito_error_clear();
        return false;
    }
    fputs("<figure><img alt=\"", out);
    html_text(out, alt);
    fputs("\" src=\"data:image/png;base64,", out);
    html_base64(out, data, size);
    fputs("\"><figcaption>", out);
    html_text(out, caption);
    fputs("</figcaption></figure>\n", out);
    free(data);
    return true;
}
