/* Names of the U-Net's tensors in files of other programs, by the table unet_names.def.
 * Invariant: a name is made of the name here by the table alone, so that the tables in
 * docs/interchange.md, which are made of it as well, are what is read. */
#include "models/ddpm/network/unet_names.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const unet_name_row unet_places[] = {
#define UNET_PLACE(here, guided, ddim, tensorflow) {{here, here, guided, ddim, tensorflow}},
#include "models/ddpm/network/unet_names.def"
#undef UNET_PLACE
    {{NULL}}};
const unet_name_row unet_parts[] = {
#define UNET_PART(here, old, guided, ddim, tensorflow) {{here, old, guided, ddim, tensorflow}},
#include "models/ddpm/network/unet_names.def"
#undef UNET_PART
    {{NULL}}};
const unet_name_row unet_parameters[] = {
#define UNET_PARAMETER(here, pytorch, tensorflow) {{here, here, pytorch, pytorch, tensorflow}},
#include "models/ddpm/network/unet_names.def"
#undef UNET_PARAMETER
    {{NULL}}};

const char *ito_unet_names_text(ito_unet_names names)
{
    static const char *const texts[ITO_UNET_NAMES] = {
        [ITO_UNET_NAMES_DIFFUSERS] = "diffusers",
        [ITO_UNET_NAMES_OLD_DIFFUSERS] = "diffusers before 0.17",
        [ITO_UNET_NAMES_GUIDED] = "guided-diffusion",
        [ITO_UNET_NAMES_DDIM] = "DDIM",
        [ITO_UNET_NAMES_TENSORFLOW] = "TensorFlow",
    };
    return (unsigned)names < ITO_UNET_NAMES ? texts[names] : NULL;
}

static char separator(ito_unet_names names)
{
    return names == ITO_UNET_NAMES_TENSORFLOW ? '/' : '.';
}

/* ---- a name here, taken apart ---- */

typedef struct name_here {
    int64_t i, j;
    int place, part, parameter; /* rows; -1 without a part */
} name_here;

/* What is behind a pattern with {i} and {j} in text; NULL if text does not begin with it. */
static const char *match(const char *pattern, const char *text, name_here *h)
{
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *text++)
                return NULL;
            continue;
        }
        int64_t *number = pattern[1] == 'i' ? &h->i : &h->j;
        if (!isdigit((unsigned char)*text))
            return NULL;
        for (*number = 0; isdigit((unsigned char)*text) && *number < 1000; text++)
            *number = *number * 10 + (*text - '0');
        pattern += 3;
    }
    return text;
}

/* The row whose name here is all of text; -1 without one. */
static int row_of(const unet_name_row *rows, const char *text, size_t length)
{
    for (int k = 0; rows[k].in[0] != NULL; k++)
        if (strlen(rows[k].in[0]) == length && strncmp(rows[k].in[0], text, length) == 0)
            return k;
    return -1;
}

static bool take_apart(const char *here, name_here *h)
{
    const char *dot = strrchr(here, '.');
    h->parameter = dot == NULL ? -1 : row_of(unet_parameters, dot + 1, strlen(dot + 1));
    for (h->place = 0; h->parameter >= 0 && unet_places[h->place].in[0] != NULL; h->place++) {
        const char *rest = match(unet_places[h->place].in[0], here, h);
        h->part = -1;
        if (rest == dot)
            return true;
        if (rest == NULL || *rest != '.' || rest > dot)
            continue;
        h->part = row_of(unet_parts, rest + 1, (size_t)(dot - rest - 1));
        if (h->part >= 0)
            return true;
    }
    return false;
}

/* ---- a name of the file, put together ---- */

/* The k-th alternative of "a|b|c", or NULL. */
static const char *alternative(const char *text, int k, size_t *length)
{
    for (; text != NULL && k > 0; k--) {
        text = strchr(text, '|');
        text = text == NULL ? NULL : text + 1;
    }
    *length = text == NULL ? 0 : strcspn(text, "|");
    return text;
}

/* What stands for {c} in a place's name. */
static int64_t number_for(const unet_naming *n, const name_here *h, char c)
{
    switch (c) {
    case 'i':
        return h->i;
    case 'D':
        return h->i * (n->blocks + 1) + h->j + 1;
    case 'S':
        return (h->i + 1) * (n->blocks + 1);
    case 'U':
        return h->i * (n->blocks + 1) + h->j;
    case 'V':
        return h->i * (n->blocks + 1) + n->blocks;
    case 'R':
        return n->levels - 1 - h->i;
    case 'M':
        return 2 * h->j;
    case 'N':
        return h->j + 1;
    default:
        return h->j;
    }
}

/* A name under way. */
typedef struct name_text {
    char text[UNET_NAME_SIZE];
    size_t used;
} name_text;

static void add(name_text *t, const char *text, size_t length)
{
    size_t room = sizeof t->text - 1 - t->used, n = length < room ? length : room;
    memcpy(t->text + t->used, text, n);
    t->used += n;
    t->text[t->used] = '\0';
}

static void add_place(name_text *t, const unet_naming *n, const name_here *h, const char *place,
                      size_t length)
{
    char number[24];
    for (size_t k = 0; k < length; k++) {
        if (place[k] != '{') {
            add(t, place + k, 1);
            continue;
        }
        snprintf(number, sizeof number, "%" PRId64, number_for(n, h, place[k + 1]));
        add(t, number, strlen(number));
        k += 2;
    }
}

/* The tensor of the file by these alternatives of its place and parameter, or -1; *more is whether
 * there are such alternatives. */
static int64_t lookup(const unet_naming *n, const name_here *h, int place, int parameter,
                      int *third, bool *more)
{
    size_t place_length, parameter_length;
    const char *p = alternative(unet_places[h->place].in[n->names], place, &place_length);
    const char *q =
        alternative(unet_parameters[h->parameter].in[n->names], parameter, &parameter_length);
    const char *part = h->part < 0 ? NULL : unet_parts[h->part].in[n->names];
    const char joint = separator(n->names);
    *more = p != NULL && q != NULL;
    if (!*more)
        return -1;
    name_text t = {.used = 0};
    add(&t, n->prefix, strlen(n->prefix));
    add_place(&t, n, h, p, place_length);
    add(&t, &joint, 1);
    if (part != NULL) {
        size_t length = strcspn(part, "#");
        *third = part[length] == '#' ? part[length + 1] - '0' : -1;
        add(&t, part, length);
        add(&t, &joint, 1);
    }
    add(&t, q, parameter_length);
    add(&t, n->suffix, strlen(n->suffix));
    return ito_weights_find(n->file, t.text);
}

/* diffusers' names are those here, also of layers that are not in the table. */
static int64_t lookup_same(const unet_naming *n, const char *here)
{
    name_text t = {.used = 0};
    add(&t, n->prefix, strlen(n->prefix));
    add(&t, here, strlen(here));
    return ito_weights_find(n->file, t.text);
}

int64_t unet_naming_lookup(const unet_naming *n, const char *here, int *third)
{
    name_here h = {.part = -1};
    *third = -1;
    if (n->names == ITO_UNET_NAMES_DIFFUSERS || !take_apart(here, &h))
        return n->names <= ITO_UNET_NAMES_OLD_DIFFUSERS ? lookup_same(n, here) : -1;
    bool places = true;
    for (int place = 0; places; place++) {
        bool parameters = true;
        for (int parameter = 0; parameters; parameter++) {
            int64_t i = lookup(n, &h, place, parameter, third, &parameters);
            if (i >= 0)
                return i;
            places = parameters || parameter > 0;
        }
    }
    return -1;
}

/* ---- whose names they are ---- */

/* A layer that every network has, by a name that no other program gives it. */
static const char *const landmarks[ITO_UNET_NAMES] = {
    [ITO_UNET_NAMES_DIFFUSERS] = "time_embedding.linear_1.weight",
    [ITO_UNET_NAMES_GUIDED] = "time_embed.0.weight",
    [ITO_UNET_NAMES_DDIM] = "temb.dense.0.weight",
    [ITO_UNET_NAMES_TENSORFLOW] = "temb/dense0/W|temb/dense0/kernel",
};
static const char average[] = "/ExponentialMovingAverage";

/* Where the landmark is in a name, with whole parts on both sides; NULL if it is not. */
static const char *find_landmark(ito_unet_names names, const char *name, const char **behind)
{
    const char joint = separator(names);
    size_t length;
    const char *mark;
    for (int k = 0; (mark = alternative(landmarks[names], k, &length)) != NULL; k++)
        for (const char *at = name; *at != '\0'; at++) {
            if (strncmp(at, mark, length) != 0)
                continue;
            *behind = at + length;
            if ((at == name || at[-1] == joint) &&
                (**behind == '\0' || (joint == '/' && (**behind == '/' || **behind == ':'))))
                return at;
        }
    return NULL;
}

/* TensorFlow's variables are followed by averages and by what the optimiser keeps of them. */
static bool is_value(const char *suffix)
{
    return suffix[0] == '\0' || suffix[0] == ':' ||
           strncmp(suffix, average, sizeof average - 1) == 0;
}

/* One more place where a network may be. */
static ito_status add_place_of(unet_naming *n, bool *found, ito_unet_names names, const char *name,
                               size_t before, const char *suffix)
{
    if (before >= sizeof n->prefix || strlen(suffix) >= sizeof n->suffix || !is_value(suffix))
        return ITO_OK;
    bool same = *found && n->names == names && strlen(n->prefix) == before &&
                strncmp(n->prefix, name, before) == 0;
    if (*found && !same)
        return file_error(ITO_ERR_FORMAT, ito_weights_path(n->file),
                          "holds a network under \"%s\" and one under \"%.*s\": say which by a "
                          "prefix",
                          n->prefix, (int)before, name);
    if (*found && suffix[0] != '/')
        return ITO_OK;
    *found = true;
    n->names = names;
    snprintf(n->prefix, sizeof n->prefix, "%.*s", (int)before, name);
    snprintf(n->suffix, sizeof n->suffix, "%s", suffix);
    return ITO_OK;
}

/* Whether the attention of a network with diffusers' names has the older ones. */
static bool has_old_names(const ito_weights *file)
{
    for (int64_t i = 0; i < ito_weights_count(file); i++)
        if (strstr(ito_weights_name(file, i), ".proj_attn.") != NULL)
            return true;
    return false;
}

ito_status unet_naming_find(unet_naming *n, const ito_weights *file, const char *prefix)
{
    bool found = false;
    *n = (unet_naming){.file = file};
    for (int64_t i = 0; i < ito_weights_count(file); i++)
        for (int names = 0; names < ITO_UNET_NAMES; names++) {
            const char *name = ito_weights_name(file, i), *behind;
            const char *at = find_landmark((ito_unet_names)names, name, &behind);
            size_t before = at == NULL ? 0 : (size_t)(at - name);
            if (at == NULL || (prefix != NULL &&
                               (strlen(prefix) != before || strncmp(prefix, name, before) != 0)))
                continue;
            ito_status status =
                add_place_of(n, &found, (ito_unet_names)names, name, before, behind);
            if (status != ITO_OK)
                return status;
        }
    if (!found)
        return file_error(ITO_ERR_FORMAT, ito_weights_path(file),
                          "has no U-Net of diffusers, guided-diffusion, DDIM or TensorFlow%s%.60s "
                          "by its names",
                          prefix != NULL ? " under " : "", prefix != NULL ? prefix : "");
    if (n->names == ITO_UNET_NAMES_DIFFUSERS && has_old_names(file))
        n->names = ITO_UNET_NAMES_OLD_DIFFUSERS;
    return ITO_OK;
}

/* Whether a name of TensorFlow, without its affixes, is a layer's parameter: not an optimiser's. */
static bool is_parameter(const char *name, size_t length)
{
    size_t begin = length, n;
    while (begin > 0 && name[begin - 1] != '/')
        begin--;
    for (int row = 0; unet_parameters[row].in[0] != NULL; row++) {
        const char *text;
        for (int k = 0; (text = alternative(unet_parameters[row].in[ITO_UNET_NAMES_TENSORFLOW], k,
                                            &n)) != NULL;
             k++)
            if (n == length - begin && strncmp(text, name + begin, n) == 0)
                return true;
    }
    return false;
}

int64_t unet_naming_stray(const unet_naming *n, const bool *used)
{
    size_t before = strlen(n->prefix), behind = strlen(n->suffix);
    for (int64_t i = 0; i < ito_weights_count(n->file); i++) {
        const char *name = ito_weights_name(n->file, i);
        size_t length = strlen(name);
        if (!used[i] && length > before + behind && strncmp(name, n->prefix, before) == 0 &&
            strcmp(name + length - behind, n->suffix) == 0 &&
            (n->names != ITO_UNET_NAMES_TENSORFLOW ||
             is_parameter(name + before, length - before - behind)))
            return i;
    }
    return -1;
}
