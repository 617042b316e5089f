/* verify.h - `heloise queue verify`: is everything in the queue as it should be?
 *
 * Findings are printed as JSON, an object a line, for the command (verify_command.c) to show and to
 * act on: path, why, and kind: "broken", "rights" (a whole message with a wrong owner or mode),
 * "journal" (a record that is damaged: its message is put aside when it is due),
 * "marks" (what became of a recipient cannot be told: it is still to do),
 * "unknown" (one that the manager does not know), "left" (never complete, cleared at the next start) or "corrupt" (was put aside before). The last
 * line counts: messages, recipients, bytes, and each kind. */
#ifndef QUEUE_VERIFY_H
#define QUEUE_VERIFY_H

#include "queue/inspect.h"
#include "queue/request.h"

/* the exit code: 0 also when there are findings; EXIT_IOERR: not everything could be read */
int verify_run(const struct inspect_view *v, const struct request *q);

#endif
