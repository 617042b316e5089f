/* listen.h - the sockets that table `listen` asks for */
#ifndef CONF_LISTEN_H
#define CONF_LISTEN_H

#include "common/ip.h"
#include "common/service.h"
#include "common/table.h"

#define LISTEN_KEY 64 /* room for a key of the table: ADDR:PORT or unix:NAME */

struct listener {
  struct listener *next;
  char addr[LISTEN_KEY];
  const struct service *service;
  int fd;
  int is_wanted;
};

/* the open ones; bound: one per line of the table */
extern struct listener *listeners;

/* makes the open sockets those of the table: closes what it no longer names, opens what is
 * new; calls opened() (may be NULL) with each that is new or has another service. Local sockets are made in directory `run`. The
 * number that could not be opened; each is logged when `loud`. */
unsigned int listen_sync(const struct table *t, const char *run,
                         void (*opened)(const struct listener *l), int loud);
/* at the end: takes the names of local sockets away */
void listen_forget(const char *run);

/* run/control, in directory `run`, anybody may connect: a listening socket, or -1 with errno */
int listen_control(const char *run);
/* connects to it: a socket, or -1 with errno. */
int listen_connect(const char *run);

#endif
