// What the engine adds to plan.h, for itself: stages need none of it.
#ifndef GAVEL_PLAN_RUNTIME_H
#define GAVEL_PLAN_RUNTIME_H

#include "plan.h"

// gv_take is gv_alloc without the zeros.
void *gv_take(gv_arena *, size_t bytes);

#endif
