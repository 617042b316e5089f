/* commit.h - complete messages become durable, a group at a time
 *
 * A second thread makes a group durable, in the journal or as files, while the next one
 * gathers; an idle intake commits at once. */
#ifndef QUEUE_COMMIT_H
#define QUEUE_COMMIT_H

struct incoming;

/* opens the journal and starts the thread. For each message of a group announce() is called, and
 * then for each ended(), which gets it back; in->error says how it went. 0, or -1 with errno. */
int commit_start(int queue_fd, void (*announce)(const struct incoming *in),
                 void (*ended)(struct incoming *in));
/* takes a complete message */
void commit_add(struct incoming *in);
/* at the end of each turn of the loop */
void commit_turn(void);
/* the end is near: notes are flushed at once. Whether all of them are durable */
int commit_end(void);

#endif
