/* why.h - `heloise queue why`: why a message is still here, and what happens next */
#ifndef QUEUE_WHY_H
#define QUEUE_WHY_H

#include "queue/inspect.h"

/* the exit code */
int why_show(const struct inspect_view *v, int json, const char *id);

#endif
