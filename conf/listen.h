/* listen.h - the sockets that table `listen` asks for */
#ifndef CONF_LISTEN_H
#define CONF_LISTEN_H

#include "common/ip.h"
#include "common/table.h"

struct listener {
  struct listener *next;
  char addr[IP_PORT_TEXT];
  char service[16];
  int fd;
  int is_wanted;
};

/* the open ones; bound: one per line of the table */
extern struct listener *listeners;

/* makes the open sockets those of the table: closes what it no longer names, opens what is
 * new and calls opened() with each (may be NULL). The number that could not be opened;
 * each is logged when `loud`. */
unsigned int listen_sync(const struct table *t, void (*opened)(const struct listener *l), int loud);

/* run/control, in directory `run`, anybody may connect: a listening socket, or -1 with errno */
int listen_control(const char *run);
/* connects to it: a socket, or -1 with errno. */
int listen_connect(const char *run);

#endif
