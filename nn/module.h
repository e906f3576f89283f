/* Modules: plain structs with a registry of named parameters, buffers, generators and children.
 *
 * A user's module embeds ito_module as its first member and registers its parts:
 *     typedef struct net { ito_module base; ito_linear_layer *first, *second; } net;
 *     net *m = ito_module_create(NULL, "net", sizeof *m);
 *     m->first = ito_linear_create(&m->base, "first", 784, 100, .generator = &g);
 * Its parameters are then called "first.weight", ... in state dicts, as in PyTorch.
 *
 * Registry order: a module's own entries in the order they were registered, then its children in
 * the order they were made. Modules are not thread-safe; one thread at a time uses a tree.
 */
#ifndef ITO_NN_MODULE_H
#define ITO_NN_MODULE_H

#include "../autograd/autograd.h"
#include "../tensor/io/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A node of the module tree, embedded in a struct of its own kind. */
typedef struct ito_module ito_module;

/** The forward function of a module with one input; NULL on error. */
typedef ito_tensor *ito_module_forward_fn(ito_module *self, ito_tensor *x);

/** A module's entry in the registry. Users set forward and destroy and only read the rest. */
struct ito_module {
    char *name;         /* within the parent; may itself contain dots; "" for a nameless root */
    ito_module *parent; /* NULL for a root */
    ito_module *first_child, *last_child, *next; /* next: the parent's next child */
    struct ito_module_entry *entries, *last_entry;
    struct ito_module_flat *flat;                 /* of a root, once flattened */
    struct ito_parametrisation *parametrisations; /* of its own parameters: parametrise.h */
    bool training;                                /* true at first, or as the parent's */
    /** For ito_module_forward and sequential; NULL if one input is not enough. */
    ito_module_forward_fn *forward;
    /** Frees what the struct owns besides registered tensors, children and itself. May be NULL. */
    void (*destroy)(ito_module *self);
};

/* ---- building ----------------------------------------------------------------------------------
 */

/**
 * A zeroed struct of this size whose first member is an ito_module, linked into parent.
 *
 * @param parent  owns the new module from now on; NULL makes a root, which the caller frees.
 * @param name    not empty unless the module is a root, and not taken within parent. "down.0" is
 *                one name.
 * @param size    at least sizeof(ito_module).
 * @return        borrowed from parent, or the caller's. NULL: ITO_ERR_ARGUMENT, ITO_ERR_MEMORY.
 */
ITO_API void *ito_module_create(ito_module *parent, const char *name, size_t size);
/** Free a module with all below it and take it out of its parent. Accepts NULL and half-built
 * modules. Tensors that others hold a reference to live on. */
ITO_API void ito_module_free(ito_module *m);

/**
 * Make t a parameter of m: it leaves its scope, m holds it, and it becomes a leaf that requires a
 * gradient. A tensor may be registered several times in one tree: it is then shared.
 *
 * @param t  f32 or f64; its elements fill a block of memory without gaps, in any order of axes.
 * @return   t, borrowed from m; NULL if t is NULL. ITO_ERR_ARGUMENT for a name that is empty or
 *           taken or a tree that is flattened, ITO_ERR_GRAD for the result of a recorded operation,
 *           ITO_ERR_DTYPE, ITO_ERR_SHAPE, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_module_parameter(ito_module *m, const char *name, ito_tensor *t);
/** Make t a buffer of m: it is saved and loaded with the parameters but not trained. Ownership as
 * for ito_module_parameter; any dtype and strides, and the tree may be flattened. Returns t,
 * borrowed from m. NULL: ITO_ERR_ARGUMENT for a name that is empty or taken, ITO_ERR_MEMORY. */
ITO_API ito_tensor *ito_module_buffer(ito_module *m, const char *name, ito_tensor *t);
/** Register a generator that lives in m's struct, so that checkpoints save its state. g is borrowed
 * as long as m lives. ITO_ERR_ARGUMENT for a NULL or a name that is empty or taken,
 * ITO_ERR_MEMORY. */
ITO_API ito_status ito_module_generator(ito_module *m, const char *name, ito_generator *g);

/* ---- using -------------------------------------------------------------------------------------
 */

/** m->forward(m, x), of the current scope. ITO_ERR_ARGUMENT if m has no such function; NULL for m
 * or x gives NULL. */
ITO_API ito_tensor *ito_module_forward(ito_module *m, ito_tensor *x);
/** Put m and all below it into training mode (dropout is active) or evaluation mode. */
ITO_API void ito_module_train(ito_module *m, bool training);
/** Freeze or unfreeze all parameters of m and below. Frozen parameters require no gradient, and
 * optimisers leave them and the state for them unchanged. ITO_ERR_ARGUMENT if m is NULL,
 * ITO_ERR_MEMORY. */
ITO_API ito_status ito_module_freeze(ito_module *m, bool frozen);
/** Set the gradients of all parameters of m and below to zero. Call it before each step, but not
 * between backward passes whose gradients add up. */
ITO_API void ito_module_zero_grad(ito_module *m);
/** Set the k-th generator of m and below, in registry order, to the start of random stream
 * first_stream + k of this seed: ito_generator_make(seed, first_stream + k). */
ITO_API void ito_module_seed(ito_module *m, uint64_t seed, uint64_t first_stream);

/* ---- contents ----------------------------------------------------------------------------------
 */

/** Tensors with their full names, such as "down_blocks.0.resnets.1.conv1.weight"; both arrays are
 * [n]. */
typedef struct ito_named_tensors {
    int64_t n;
    const char **names;
    ito_tensor **tensors;
} ito_named_tensors;

/** Generators with their full names; both arrays are [n]. */
typedef struct ito_named_generators {
    int64_t n;
    const char **names;
    ito_generator **generators;
} ito_named_generators;

/** All parameters of m and below in registry order, a shared one once, by its first name. Owned by
 * the caller (ito_named_tensors_free); the tensors are retained. NULL: ITO_ERR_MEMORY, or m is
 * NULL. */
ITO_API ito_named_tensors *ito_module_parameters(const ito_module *m);
/** The state dict: parameters and buffers of m and below in registry order, shared ones under each
 * name. Ownership and errors as for ito_module_parameters. */
ITO_API ito_named_tensors *ito_module_state(const ito_module *m);
/** Free the list and release its tensors. Accepts NULL. */
ITO_API void ito_named_tensors_free(ito_named_tensors *list);
/** The generators of m and below in registry order; the pointers are borrowed from the modules.
 * Owned by the caller (ito_named_generators_free). NULL: ITO_ERR_MEMORY, or m is NULL. */
ITO_API ito_named_generators *ito_module_generators(const ito_module *m);
/** Free the list, not the generators. Accepts NULL. */
ITO_API void ito_named_generators_free(ito_named_generators *list);

/** The parameter or buffer of this full name, borrowed from its module. NULL: ITO_ERR_ARGUMENT if
 * there is none, ITO_ERR_MEMORY, or m is NULL. */
ITO_API ito_tensor *ito_module_find(const ito_module *m, const char *name);
/** The number of elements of all parameters, shared ones counted once. -1: ITO_ERR_MEMORY, or m is
 * NULL. */
ITO_API int64_t ito_module_parameter_count(const ito_module *m);
/** ITO_OK, or ITO_ERR_NUMERIC with the name of the first parameter or buffer that holds a NaN or an
 * infinity, or ITO_ERR_MEMORY. */
ITO_API ito_status ito_module_check_finite(const ito_module *m);
/**
 * Write to *checksum the crc32 of the state dict: of each name (without its 0) followed by the
 * tensor's row-major bytes, in registry order. Two modules with the same names, dtypes and weights
 * have the same checksum; memory layout does not matter. The byte order is the machine's.
 * @return  ITO_ERR_ARGUMENT if m or checksum is NULL, ITO_ERR_MEMORY; then *checksum is untouched.
 */
ITO_API ito_status ito_module_checksum(const ito_module *m, uint32_t *checksum);

/* ---- state dicts in files ----------------------------------------------------------------------
 */

/** Options of ito_module_save. The arrays are borrowed. They must be variables, not compound
 * literals within the call, whose lifetime ends too early. */
typedef struct ito_save_options {
    int reserved_;
    bool bf16;                          /* floats rounded to bf16: half the size */
    const char *const *metadata_keys;   /* [n_metadata] as ito_safetensors_save takes them */
    const char *const *metadata_values; /* [n_metadata] */
    int64_t n_metadata;
} ito_save_options;
#define ITO_DEFAULTS_ito_save_options .reserved_ = 0

/** Write all parameters and buffers to a safetensors file, row-major, as PyTorch would:
 * ito_module_save(&m->base, path, .bf16 = true). An older file is untouched on failure.
 * ITO_ERR_ARGUMENT for metadata that is not allowed or a NULL, ITO_ERR_IO, ITO_ERR_MEMORY. */
ITO_API ito_status ito_module_save_with(const ito_module *m, const char *path,
                                        ito_save_options options);
#define ito_module_save(...)                                                                       \
    ITO_AT(ITO_CALL_2(ito_module_save_with, ito_save_options, __VA_ARGS__, ))

/** The name of a module or tensor in a file and in the model: {"query", "to_q"}. It replaces whole
 * parts between dots; both names may span several parts, {"proj_attn", "to_out.0"}. */
typedef struct ito_rename {
    const char *in_file, *in_model;
} ito_rename;

/** What ito_module_load did, for the caller to tell: in a file of another program names may differ
 * more than is meant. */
typedef struct ito_load_report {
    int64_t loaded;  /* tensors of the model that have their value from the file */
    int64_t missing; /* tensors of the model that the file lacks: with .partial */
    int64_t unused;  /* tensors of the file that the model lacks, or that are without the prefix */
    char prefix[64]; /* what was cut off names of the file, given or found; "" */
} ito_load_report;

/** Options of ito_module_load. The array is borrowed. It must be a variable, not a compound literal
 * within the call, whose lifetime ends too early. */
typedef struct ito_load_options {
    int reserved_;
    bool partial;              /* names only in the file or only in the model are skipped */
    const char *prefix;        /* skip names without it, cut it off the others: "unet."; or NULL */
    ito_load_report *report;   /* receives what was done, on success; or NULL */
    const ito_rename *renames; /* [n_renames] for names of other libraries */
    int64_t n_renames;
} ito_load_options;
#define ITO_DEFAULTS_ito_load_options .reserved_ = 0

/**
 * Read a state dict from a file of weights: ito_module_load(&m->base, path, .partial = true). It
 * may be any that ito_weights_open reads: safetensors, in one file or several, PyTorch's, npz.
 *
 * All of it is read and checked before anything changes. Floats are converted to the model's dtype;
 * other dtypes must agree. If .prefix is NULL and no name of the file is one of the model's, what
 * wrappers and training programs put in front of names is found and cut off, as if it had been
 * given: module., _orig_mod., model., ema_model., ema., unet., state_dict., model_state_dict.,
 * ema_state_dict., and several of them. The report has it.
 * @return  ITO_ERR_SHAPE or ITO_ERR_DTYPE for the first tensor that disagrees, "FILE:
 *          conv_in.weight is [128, 3, 3, 3] in the file and [32, 1, 3, 3] in the model";
 *          ITO_ERR_FORMAT for the first name that is missing or unexpected, with .partial if no
 *          name agrees, for a prefix that no name has, for two names of the file that mean one
 *          tensor, for a model that is there under several prefixes, and for a damaged file;
 *          ITO_ERR_ARGUMENT for a NULL or a rename without both names; ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_module_load_with(ito_module *m, const char *path, ito_load_options options);
#define ito_module_load(...)                                                                       \
    ITO_AT(ITO_CALL_2(ito_module_load_with, ito_load_options, __VA_ARGS__, ))

/** Read a state dict from weights that are open already: ito_module_load_weights(&m->base, w).
 * weights are borrowed. Errors as for ito_module_load. */
ITO_API ito_status ito_module_load_weights_with(ito_module *m, const ito_weights *weights,
                                                ito_load_options options);
#define ito_module_load_weights(...)                                                               \
    ITO_AT(ITO_CALL_2(ito_module_load_weights_with, ito_load_options, __VA_ARGS__, ))

/** Read a state dict from a safetensors file that is open already, or is in memory:
 * ito_module_load_file(&m->base, f). file is borrowed. Errors as for ito_module_load. */
ITO_API ito_status ito_module_load_file_with(ito_module *m, const ito_safetensors *file,
                                             ito_load_options options);
#define ito_module_load_file(...)                                                                  \
    ITO_AT(ITO_CALL_2(ito_module_load_file_with, ito_load_options, __VA_ARGS__, ))

/* ---- flat memory -------------------------------------------------------------------------------
 */

/**
 * Move all parameters of a root into one block of memory, and their gradients into another, so that
 * clipping, optimisers and averages are one pass over memory. They call this function themselves;
 * calling it again does nothing. Handles, values, gradients and strides stay the same; a view taken
 * of a parameter before keeps the old memory. Afterwards no parameter can be added to the tree.
 *
 * Each parameter begins at a multiple of 16 elements; what lies between is zero. Since all share
 * one storage, a change of one in place between forward and backward counts as a change of all.
 * @return  ITO_ERR_ARGUMENT if m is NULL or no root, ITO_ERR_DTYPE unless all have one dtype,
 *          ITO_ERR_MEMORY; then nothing has changed.
 */
ITO_API ito_status ito_module_flatten(ito_module *m);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_module_create(...) ITO_AT(ito_module_create(__VA_ARGS__))
#define ito_module_parameter(...) ITO_AT(ito_module_parameter(__VA_ARGS__))
#define ito_module_buffer(...) ITO_AT(ito_module_buffer(__VA_ARGS__))
#define ito_module_generator(...) ITO_AT(ito_module_generator(__VA_ARGS__))
#define ito_module_forward(...) ITO_AT(ito_module_forward(__VA_ARGS__))
#define ito_module_freeze(...) ITO_AT(ito_module_freeze(__VA_ARGS__))
#define ito_module_find(...) ITO_AT(ito_module_find(__VA_ARGS__))
#define ito_module_checksum(...) ITO_AT(ito_module_checksum(__VA_ARGS__))
#define ito_module_check_finite(...) ITO_AT(ito_module_check_finite(__VA_ARGS__))
#define ito_module_flatten(...) ITO_AT(ito_module_flatten(__VA_ARGS__))
#endif

#endif
