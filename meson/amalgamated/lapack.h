/* In place of LAPACK: matrices_check has refused before any of these is reached. */
#ifdef __clang__
#define LAPACK_OPAQUE __attribute__((noinline))
#else
#define LAPACK_OPAQUE __attribute__((noipa)) /* so that results count as written */
#endif
static LAPACK_OPAQUE void lapack_none(const char *first, ...)
{
    (void)first;
}
#define LAPACK_NONE(...) lapack_none("", __VA_ARGS__)
#define LAPACK_dgeqrf LAPACK_NONE
#define LAPACK_dgesvd LAPACK_NONE
#define LAPACK_dgetrf LAPACK_NONE
#define LAPACK_dgetri LAPACK_NONE
#define LAPACK_dgetrs LAPACK_NONE
#define LAPACK_dorgqr LAPACK_NONE
#define LAPACK_dpotrf LAPACK_NONE
#define LAPACK_dsyevd LAPACK_NONE
#define LAPACK_dtrtrs LAPACK_NONE
