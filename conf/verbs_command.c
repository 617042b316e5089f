/* verbs_command.c - `heloise verbs`: what a mask of verbs means
 *
 * Runs in `heloise`, as the caller. A value of table `verbs` goes in: a decimal mask as IIS
 * and Exchange have it comes out as words, words come out as a mask (LADDER.md 5.4). */
#include "conf/verbs_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/verbs.h"
#include "common/verdict.h"

/* the verbs that a mask has a bit for */
static uint32_t in_masks(void)
{
  uint32_t set = 0;

  for (unsigned int n = 0; n < VERB_COUNT; n++)
    if (verbs_to_mask(1U << n) != verbs_to_mask(0))
      set |= 1U << n;
  return set;
}

/* "TITLE: word word"; 0, or -1 (ENOMEM) */
static int print_set(FILE *out, const char *title, uint32_t set)
{
  stralloc words = {0};
  int r = set ? verbs_format(&words, set) : stralloc_copys(&words, "none") ? 0 : -1;

  if (r == 0)
    fprintf(out, "%s%.*s\n", title, (int)words.len, words.s);
  stralloc_free(&words);
  return r;
}

static int explain_mask(uint32_t off, uint32_t unknown)
{
  if (unknown)
    fprintf(stderr, "heloise: warning: bits %u (0x%x) of the mask name no verb known here\n",
            unknown, unknown);
  return print_set(stdout, "on: ", in_masks() & ~off) == 0 && print_set(stdout, "off: ", off) == 0
           ? EXIT_OK
           : EXIT_TEMPFAIL;
}

static int make_mask(uint32_t off)
{
  uint32_t left = off & ~in_masks();

  if (left && print_set(stderr, "heloise: warning: no mask has a bit for ", left) != 0)
    return EXIT_TEMPFAIL;
  printf("%u\n", verbs_to_mask(off));
  return EXIT_OK;
}

int verbs_command(const struct instance *i, int argc, char **argv)
{
  stralloc value = {0};
  uint32_t off, unknown;
  const char *why = "out of memory";
  int r, bad = 0;

  (void)i;
  if (argc < 2) {
    fprintf(stderr, "usage: heloise verbs MASK | -VERB ...\n");
    return EXIT_USAGE;
  }
  for (int n = 1; n < argc && !bad; n++)
    bad = !((n == 1 || stralloc_cats(&value, " ")) && stralloc_cats(&value, argv[n]));
  if (bad || verbs_parse(value.s, value.len, &off, &unknown, &why) != 0) {
    fprintf(stderr, "heloise: verbs: %s\n", why);
    r = bad ? EXIT_TEMPFAIL : EXIT_USAGE;
  } else {
    r = argv[1][strspn(argv[1], " \t")] == '-' ? make_mask(off) : explain_mask(off, unknown);
  }
  stralloc_free(&value);
  return r;
}
