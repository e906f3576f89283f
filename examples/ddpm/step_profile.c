/* profile.json of a run. Invariant: only whole steps are counted, and nothing between them. */
#include "examples/ddpm/step_profile.h"

#include "examples/common/paths.h"

#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

void step_profile_begin(step_profile *p, int64_t step)
{
    *p = (step_profile){.on = ito_profile_begin(), .first = step};
}

bool step_profile_full(const step_profile *p, int64_t step)
{
    return p->on && step - p->first >= PROFILED_STEPS;
}

bool step_profile_end(step_profile *p, int64_t step, const char *dir)
{
    if (!p->on)
        return true;
    p->on = false;
    char *counted = ito_profile_end(), *path = path_join(dir, "profile.json"), *text = NULL;
    cJSON *root = counted != NULL ? cJSON_Parse(counted) : NULL;
    if (cJSON_AddNumberToObject(root, "step", (double)step) != NULL &&
        cJSON_AddNumberToObject(root, "steps", (double)(step - p->first)) != NULL)
        text = cJSON_Print(root);
    if (text == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for profile.json", dir);
    bool good = text != NULL && path != NULL && ito_file_write(path, text, strlen(text)) == ITO_OK;
    cJSON_Delete(root);
    free(counted);
    free(path);
    free(text);
    return good;
}

cJSON *step_profile_read(const char *dir)
{
    enum { MOST = 1 << 20 };
    int64_t size = 0;
    char *path = path_join(dir, "profile.json");
    char *text = path != NULL && path_exists(path) ? ito_file_read(path, MOST, &size) : NULL;
    cJSON *root = text != NULL ? cJSON_ParseWithLength(text, (size_t)size) : NULL;
    ito_error_clear();
    free(text);
    free(path);
    return root;
}
