/* export_command.h - `heloise queue export` and `import` */
#ifndef QUEUE_EXPORT_COMMAND_H
#define QUEUE_EXPORT_COMMAND_H

#include "queue/desk.h"
#include "queue/request.h"

/* each returns the exit code */
int export_command(struct desk *d, const struct request *q);
int import_command(struct desk *d, const struct request *q);

#endif
