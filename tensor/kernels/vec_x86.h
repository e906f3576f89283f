/* What vec_avx2.h and vec_avx512.h have in common: operations that the intrinsics of both call by
 * the same name, V_(name). */

V_FN vec v_loadu(const real *p)
{
    return V_(loadu)(p);
}

V_FN void v_storeu(real *p, vec a)
{
    V_(storeu)(p, a);
}

V_FN vec v_set1(real a)
{
    return V_(set1)(a);
}

/* a * b + c and c - a * b, rounded once. */
V_FN vec v_fma(vec a, vec b, vec c)
{
    return V_(fmadd)(a, b, c);
}

V_FN vec v_fnma(vec a, vec b, vec c)
{
    return V_(fnmadd)(a, b, c);
}

/* The second operand where either is NaN, as the instructions have it. */
V_FN vec v_max(vec a, vec b)
{
    return V_(max)(a, b);
}

V_FN vec v_min(vec a, vec b)
{
    return V_(min)(a, b);
}

V_FN vec v_sqrt(vec a)
{
    return V_(sqrt)(a);
}
