/* owner.c - whose an instance is */
#include "conf/owner.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/confine.h"

int owner_become(const struct instance *i)
{
  const char *place = i->dir ? i->dir : i->control;
  struct confine_ids ids;
  const struct passwd *p;
  struct stat st;

  if (geteuid() != 0 || stat(place, &st) != 0 || st.st_uid == 0)
    return 0;
  p = getpwuid(st.st_uid);
  if (!p || confine_ids_find(p->pw_name, &ids) != 0)
    ids = (struct confine_ids){.uid = st.st_uid, .gid = st.st_gid}; /* a user without a name */
  if (confine_become(&ids) == 0)
    return 0;
  fprintf(stderr, "heloise: cannot become the owner of %s: %s\n", place, strerror(errno));
  return -1;
}
