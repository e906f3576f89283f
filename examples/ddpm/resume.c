/* train --resume.
 * Invariant: a resumed run continues from its checkpoint to the same bits, or not at all. */
#include "examples/ddpm/resume.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/common/settings.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/data_identity.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

/* ---- its settings ---- */

bool stored_options(train_options *out, const char *dir, const cJSON *options)
{
    bool found[MAX_OPTIONS] = {false};
    char *source = path_join(dir, "config.json");
    *out = (train_options){.preset = "small"};
    bool good = source != NULL && settings_get(options, train_rows, out, found, source);
    if (good && out->data == NULL) {
        ito_error_set(ITO_ERR_FORMAT, "%s: the option \"data\" is missing", source);
        good = false;
    }
    free(source);
    if (good)
        train_options_set_defaults(out, found, NULL); /* what a recipe said is stored */
    return good;
}

bool resume_options(train_options *o, const command_line *c, cJSON **config)
{
    train_options stored;
    *config = run_config(o->out);
    if (*config == NULL ||
        !stored_options(&stored, o->out, cJSON_GetObjectItemCaseSensitive(*config, "options")))
        return false;
    for (int i = 0; train_rows[i].type != OPTION_END; i++) {
        const option_row *row = &train_rows[i];
        if (row->type == OPTION_GROUP || row->scope == OPTION_OF_CALL)
            continue;
        if (c->given[i] && row->scope == OPTION_FIXED && !settings_same(row, o, &stored))
            options_refuse(c,
                           "--%s: it differs from that of the run in %s, which goes on with its "
                           "own settings",
                           row->name, o->out);
        if (!c->given[i])
            settings_copy(row, o, &stored);
    }
    return true;
}

/* ---- its images ---- */

/* Where they were. */
static const char *place_of(const session *s)
{
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(s->config, "options");
    return cJSON_GetObjectItemCaseSensitive(options, "data")->valuestring;
}

/* Of a run by a version that kept only the number of images and their place. */
static bool same_by_place(const session *s)
{
    const train_options *o = &s->o;
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(s->config, "images");
    if (cJSON_IsNumber(before) && before->valuedouble != (double)s->data->size) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: it has %" PRId64 " image%s; the run began with %.0f",
                      o->data, s->data->size, PLURAL(s->data->size), before->valuedouble);
        return false;
    }
    const char *place = place_of(s);
    return data_same_place(place, o->data) ||
           options_error(
               "--data: the run in %s was begun by an earlier version, which noted nothing "
               "that tells its images from others; it goes on with %s alone",
               o->out, place);
}

bool resume_data(const session *s)
{
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(s->config, "data");
    return before != NULL ? data_identity_same(s->identity, before, s->o.data) : same_by_place(s);
}

bool resume_data_missing(const session *s)
{
    char text[1024];
    if (ito_error_code() != ITO_ERR_IO || strcmp(s->o.data, place_of(s)) != 0)
        return false;
    snprintf(text, sizeof text, "%s", ito_error_message());
    ito_error_clear();
    ito_error_set(ITO_ERR_IO, "%s; if the images are elsewhere now, name the place by --data",
                  text);
    return false;
}

/* ---- its state ---- */

static void warn_of_other_isa(const session *s)
{
    const cJSON *isa = cJSON_GetObjectItemCaseSensitive(s->config, "isa");
    if (cJSON_IsString(isa) && strcmp(isa->valuestring, ito_isa()) != 0)
        note("ito-ddpm train: the run began on %s and goes on with %s: its numbers will "
             "differ in their last bits\n",
             isa->valuestring, ito_isa());
}

bool resume_state(session *s)
{
    warn_of_other_isa(s);
    char *dir = path_join(s->o.out, "checkpoints"); /* ranks that write nothing have no run */
    char *path = dir != NULL && path_exists(dir) ? ito_checkpoint_latest(dir) : NULL;
    free(dir);
    if (path == NULL)
        return ito_error_code() == ITO_OK;
    ito_training_state state = session_state(s);
    bool good = (s->parallel != NULL ? ito_parallel_checkpoint_load(s->parallel, path, &state)
                                     : ito_checkpoint_load(path, &state)) == ITO_OK;
    if (good && state.position != state.step * s->o.batch) {
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: its %" PRId64 " images are not those of %" PRId64 " steps with %" PRId64
                      " each",
                      path, state.position, state.step, s->o.batch);
        good = false;
    }
    if (good && s->o.steps < state.step)
        good =
            options_error("--steps: %" PRId64 " is less than the %" PRId64 " that the run has done",
                          s->o.steps, state.step);
    free(path);
    s->step = s->saved = state.step;
    return good;
}
