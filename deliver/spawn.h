/* spawn.h - starts attempts for the manager and relays what they say
 *
 * Runs in heloise-deliver. */
#ifndef DELIVER_SPAWN_H
#define DELIVER_SPAWN_H

/* channels from run: to the manager, to the resolver. 0, or -1 with errno */
int spawn_manager(int fd);
int spawn_resolver(int fd);
/* new tables are in force */
int spawn_table(void);
/* asked to end: no new attempts, a moment for those that run */
void spawn_stop(void);

#endif
