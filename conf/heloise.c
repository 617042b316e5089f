/* heloise.c - the front command
 *
 * Runs as its caller; on an ordinary user's instance as that user, also when root calls. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/instance.h"
#include "common/verdict.h"
#include "conf/access_command.h"
#include "conf/build.h"
#include "conf/getset.h"
#include "conf/init.h"
#include "conf/owner.h"
#include "conf/run.h"
#include "conf/status.h"
#include "conf/user_command.h"
#include "conf/verbs_command.h"
#include "deliver/peers_command.h"
#include "deliver/probe.h"
#include "queue/command.h"

static int check(const struct instance *i, int argc, char **argv)
{
  if (argc == 1)
    return build_check(i);
  fprintf(stderr, "usage: heloise %s\n", argv[0]);
  return EXIT_USAGE;
}

static int build(const struct instance *i, int argc, char **argv)
{
  if (argc == 1)
    return build_tables(i);
  fprintf(stderr, "usage: heloise %s\n", argv[0]);
  return EXIT_USAGE;
}

static const struct command {
  const char *name;
  int (*run)(const struct instance *i, int argc, char **argv);
  const char *usage, *help;
  int needs_no_instance;
} commands[] = {
  {"init", init_command, "[DIR] [--hostname NAME] [--listen ADDR:PORT ...]",
   "make an instance, complete and built", 1},
  {"run", run_command, "", "run it, in the foreground; SIGTERM ends it, SIGHUP reloads", 0},
  {"status", status_command, "[--json]", "say whether it runs, and its programs", 0},
  {"check", check, "", "check the control tables", 0},
  {"build", build, "", "check and compile the control tables", 0},
  {"reload", status_reload, "", "build, and put the tables in force", 0},
  {"get", getset_get, "[NAME]", "show a setting, or all of them", 0},
  {"set", getset_set, "NAME VALUE", "change a setting; build or reload puts it in force", 0},
  {"user", user_command, "add NAME | passwd NAME | remove NAME | list",
   "logins and their passwords; build or reload puts them in force", 0},
  {"queue", queue_command, "list | show | why | stats | hold | release | retry | remove | bounce | verify | export | import",
   "look at and work on waiting mail", 0},
  {"probe", probe_command, "DOMAIN|HOST:PORT [--message ID|FILE]",
   "greet another host as mail would, and say what it saw", 0},
  {"access", access_command, "test CLIENT HELO SENDER RCPT",
   "say what would become of such mail, and which line of the tables decides", 0},
  {"peers", peers_command, "list | show HOST | forget HOST | report",
   "what was learned about other hosts", 0},
  {"verbs", verbs_command, "MASK | -VERB ...",
   "tell what a decimal mask of verbs means, or the mask for verbs switched off", 1},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void help(FILE *out)
{
  fprintf(out, "usage: heloise [-C DIR] COMMAND ...\n");
  for (size_t i = 0; i < COMMANDS; i++)
    fprintf(out, "  %-7s %s%s%s\n", commands[i].name, commands[i].usage,
            *commands[i].usage ? "\n          " : "", commands[i].help);
}

static const struct command *find(const char *name)
{
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i].name, name) == 0)
      return &commands[i];
  return NULL;
}

static int usage(const char *name)
{
  if (name)
    fprintf(stderr, "heloise: there is no command %s\n", name);
  help(stderr);
  return EXIT_USAGE;
}

/* a control directory is what makes an instance; one that cannot be looked at is there */
static int is_missing(const struct instance *i)
{
  struct stat st;

  if (stat(i->control, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
    return 0;
  if (i->dir)
    fprintf(stderr, "heloise: no instance in %s; \"heloise init %s\" makes one\n", i->dir, i->dir);
  else
    fprintf(stderr, "heloise: no instance in %s; \"heloise init\" makes one\n", i->control);
  return 1;
}

static int dispatch(const struct command *c, const char *dir, int argc, char **argv)
{
  struct instance i;
  int r;

  if (instance_find(&i, dir) != 0) {
    perror("heloise");
    return EXIT_OSERR;
  }
  if (!c->needs_no_instance && is_missing(&i))
    return EXIT_CONFIG;
  if (!c->needs_no_instance && owner_become(&i) != 0)
    return EXIT_NOPERM;
  optind = 0;
  r = c->run(&i, argc, argv);
  return fflush(stdout) != 0 && r == EXIT_OK ? EXIT_IOERR : r;
}

int main(int argc, char **argv)
{
  static const struct option options[] = {
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
  const char *dir = NULL;
  const struct command *c;
  int o;

  while ((o = getopt_long(argc, argv, "+C:hV", options, NULL)) != -1) {
    if (o == 'V')
      return puts("heloise " VERSION) < 0 ? EXIT_IOERR : EXIT_OK;
    if (o == 'h') {
      help(stdout);
      return EXIT_OK;
    }
    if (o != 'C')
      return usage(NULL);
    dir = optarg;
  }
  c = optind < argc ? find(argv[optind]) : NULL;
  return c ? dispatch(c, dir, argc - optind, argv + optind) : usage(argv[optind]);
}
