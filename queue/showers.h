/* showers.h - children of the manager that answer for it */
#ifndef QUEUE_SHOWERS_H
#define QUEUE_SHOWERS_H

#include <sys/types.h>

/* who asks */
struct asker {
  int sock; /* COMMAND, high side: the child answers there */
  uid_t uid;
  int is_guest; /* sees only what that user sent */
};

/* the queue directory; before anything else */
void showers_open(int queue_fd);
/* starts a child that carries out a command line that only looks (inspect.h). 0; -1: it cannot be
 * had now */
int showers_look(const struct asker *a, int argc, const char *const *argv);
/* starts a child that takes in the archive which follows on the socket; the caller reads nothing
 * more from it. 0; -1 likewise */
int showers_import(const struct asker *a, int json);

#endif
