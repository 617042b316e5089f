/* children.h - the programs that `heloise run` keeps alive
 *
 * A table of programs says who each runs as and what it is handed; a table of links says
 * who talks to whom. heloise-smtpd runs several times: once a core for mail from anywhere, once
 * for submission and what is local, when table `listen` asks for that. A program that ends by itself is started again, after a pause that
 * grows while it keeps ending; its neighbours get new channel ends. */
#ifndef CONF_CHILDREN_H
#define CONF_CHILDREN_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/chan.h"
#include "common/confine.h"
#include "conf/listen.h"

/* what there is to hand out; descriptors stay the caller's */
struct supplies {
  int queue, state, mail, libexec; /* directories */
  int control;                     /* listening on run/control */
  int tables;                      /* compiled tables */
  int limits;                      /* what client networks do (smtpd/limits.h) */
  int logins;                      /* compiled table users; -1: none */
  int census;                      /* how many sessions each heloise-smtpd has (smtpd/census.h) */
  int is_privileged;               /* each program under its own user */
};

struct child {
  struct loop_timer timer; /* first: its next start */
  struct chan control;
  const struct child_row *row;
  char name[24];      /* "queue"; of several "smtpd", "smtpd.2" ... */
  unsigned int slot;  /* its place among all, in the census too */
  struct confine_ids ids;
  int program;   /* the executable */
  pid_t pid;     /* 0: not running */
  time_t since;
  uint64_t started; /* loop_now() */
  unsigned int restarts, failures; /* ever; in a row */
  int is_fresh, is_ready;
};

/* prepares all programs and starts them. changed() is called when there is news for
 * run/status. 0, or an exit code after a log line. */
int children_start(const struct supplies *s, void (*changed)(void));
/* SIGCHLD came */
void children_reap(void);
/* hands out s->tables again */
void children_new_tables(void);
/* hands out what certificates_descriptor() gives now */
void children_new_certificates(void);
/* hands a new listening socket to those who serve it, and starts them where none does yet */
void children_new_listener(const struct listener *l);
/* ends all in order: the listeners first, everything within 4 seconds; then the loop ends */
void children_stop(void);

/* all that are to run, for run/status: calls f for each */
void children_each(void (*f)(void *arg, const char *name, const struct child *c), void *arg);

#endif
