# Fences a command in with what a plain container leaves to everyone: Landlock for files, TCP, signals and abstract sockets, a seccomp
# filter for the rest, no_new_privs and no capabilities. Perl because users have no compiler, Node cannot make system calls, and perl-base
# is on every Debian and Ubuntu.
#
#   perl fence.pl abi                                       prints the version of Landlock, or fails with the kernel's reason
#   perl fence.pl ARCHITECTURE FILTER_FD RULE... -- COMMAND...
#     ARCHITECTURE  as Node calls it: x64 or arm64
#     FILTER_FD     an open file that holds the filter's instructions
#     RULE          read:PATH    read and execute it and all beneath it
#                   write:PATH   everything but device nodes, it and all beneath it
#                   device:PATH  read, write and control this one file
#     What no rule names can neither be opened nor changed. A path that is not there is left out.
#
# This process itself stays outside of the fence, as the parent of whatever loses its own: when the command ends, or whoever started this
# one does, everything that descends from it is ended.
use strict;
use warnings;
use POSIX ();

# linux/landlock.h; from 424 on system calls have one number on all architectures.
my ($CREATE_RULESET, $ADD_RULE, $RESTRICT_SELF) = (444, 445, 446);
my ($EXECUTE, $WRITE_FILE, $READ_FILE, $READ_DIR) = (1, 2, 4, 8);
my ($MAKE_CHAR, $MAKE_BLOCK, $REFER, $TRUNCATE, $IOCTL_DEV) = (1 << 6, 1 << 11, 1 << 13, 1 << 14, 1 << 15);
my $ALL_OF_VERSION_1 = (1 << 13) - 1;
# linux/prctl.h, linux/capability.h
my ($PDEATHSIG, $SET_SECCOMP, $CAPBSET_DROP, $SUBREAPER, $NO_NEW_PRIVS, $CAP_AMBIENT) = (1, 22, 24, 36, 38, 47);
my ($FILTER_MODE, $AMBIENT_CLEAR_ALL, $CAPABILITY_VERSION_3, $CAPABILITIES) = (2, 4, 0x20080522, 64);
my %NUMBERS = (x64 => { prctl => 157, capset => 126 }, arm64 => { prctl => 167, capset => 91 });
my $O_PATH = 010000000;
my $CANNOT = 125;

my ($architecture, $filter_fd, @rules) = @ARGV;
if (($architecture // '') eq 'abi') { print version(), "\n"; exit 0 }
my $numbers = $NUMBERS{ $architecture // '' } or give_up('no numbers for this architecture');
my @command;
for my $at (0 .. $#rules) { next if $rules[$at] ne '--'; @command = splice @rules, $at; shift @command; last }
@command or give_up('no command');

my $starter = getppid;
# A signal in place of the end: what descends from here must go first.
$SIG{TERM} = sub { end_descendants(); exit $CANNOT };
control($SUBREAPER, 1);
control($PDEATHSIG, POSIX::SIGTERM());
exit $CANNOT if getppid != $starter;

defined(my $child = fork) or give_up("fork: $!");
if ($child == 0) { become_command() }
# The command alone says over these that it was started.
POSIX::close($_) for 3, $filter_fd;
while ((my $ended = wait) > 0) {
  next if $ended != $child;
  my $status = $?;
  end_descendants();
  exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
}
exit $CANNOT;

sub become_command {
  $SIG{TERM} = 'DEFAULT';
  control($PDEATHSIG, POSIX::SIGKILL());
  # Before Landlock knew signals, one to its own group would have reached the parents.
  setpgrp;
  my $filter = read_filter();
  my $ruleset = make_ruleset(version());
  control($NO_NEW_PRIVS, 1);
  drop_capabilities();
  call("landlock", $RESTRICT_SELF, $ruleset, 0);
  POSIX::close($ruleset);
  # Last, as it may forbid what comes before. struct sock_fprog: a count, and a pointer aligned to eight bytes.
  my $program = pack('S x6 P', length($filter) / 8, $filter);
  control($SET_SECCOMP, $FILTER_MODE, $program);
  no warnings 'exec';
  exec { $command[0] } @command or give_up("$command[0]: $!");
}

sub make_ruleset {
  my ($abi) = @_;
  my $all = $ALL_OF_VERSION_1 | ($abi >= 2 ? $REFER : 0) | ($abi >= 3 ? $TRUNCATE : 0) | ($abi >= 5 ? $IOCTL_DEV : 0);
  my $of_files = ($EXECUTE | $WRITE_FILE | $READ_FILE | $TRUNCATE | $IOCTL_DEV) & $all;
  my %rights = (
    read => $EXECUTE | $READ_FILE | $READ_DIR,
    write => $all & ~($MAKE_CHAR | $MAKE_BLOCK),
    device => ($READ_FILE | $WRITE_FILE | $TRUNCATE | $IOCTL_DEV) & $all,
  );
  # All TCP is handled and none allowed; signals and abstract sockets end at the fence. Older versions want a shorter struct.
  my $attributes = pack('Q', $all) . ($abi >= 4 ? pack('Q', 3) : '') . ($abi >= 6 ? pack('Q', 3) : '');
  my $ruleset = call("landlock", $CREATE_RULESET, $attributes, length $attributes, 0);
  for my $rule (@rules) {
    my ($kind, $path) = $rule =~ /\A(read|write|device):(.+)\z/s or give_up('a rule that is none');
    sysopen(my $place, $path, $O_PATH) or do { next if $!{ENOENT}; give_up("$path: $!") };
    my $allowed = -d $place ? $rights{$kind} : $rights{$kind} & $of_files;
    # struct landlock_path_beneath_attr is packed.
    my $beneath = pack('Q l', $allowed, fileno $place);
    call("landlock", $ADD_RULE, $ruleset, 1, $beneath, 0);
    close $place;
  }
  return $ruleset;
}

sub drop_capabilities {
  # Who has none is not allowed to drop any either.
  syscall($numbers->{prctl}, $CAPBSET_DROP, $_, 0, 0, 0) for 0 .. $CAPABILITIES - 1;
  syscall($numbers->{prctl}, $CAP_AMBIENT, $AMBIENT_CLEAR_ALL, 0, 0, 0);
  my ($header, $none) = (pack('L l', $CAPABILITY_VERSION_3, 0), pack('L6', (0) x 6));
  call("capset", $numbers->{capset}, $header, $none);
}

sub read_filter {
  open(my $file, '<&=', 0 + $filter_fd) or give_up("the filter: $!");
  binmode $file;
  local $/;
  my $bytes = <$file>;
  give_up('the filter is damaged') if !defined $bytes || length($bytes) == 0 || length($bytes) % 8;
  return $bytes;
}

# Whoever loses its parent becomes a child of this process, so when there are no more children there is nobody left.
sub end_descendants {
  do {
    for my $path (glob '/proc/[0-9]*/stat') {
      open(my $file, '<', $path) or next;
      my $line = <$file> // '';
      # The name may hold spaces and brackets; the state and the parent follow the last one.
      kill 'KILL', $1 if $line =~ /\A(\d+) .*\) \S+ (\d+) /s && $2 == $$;
    }
  } while (wait > 0);
}

sub version {
  my $version = syscall($CREATE_RULESET, 0, 0, 1);
  give_up("no Landlock: $!") if $version < 1;
  return $version;
}

sub control {
  my ($option, @arguments) = @_;
  push @arguments, 0 while @arguments < 4;
  return call("prctl $option", $numbers->{prctl}, $option, @arguments);
}

sub call {
  my ($name, @arguments) = @_;
  my $answer = syscall($arguments[0], @arguments[1 .. $#arguments]);
  give_up("$name: $!") if $answer < 0;
  return $answer;
}

sub give_up {
  print STDERR "fence: $_[0]\n";
  POSIX::_exit($CANNOT);
}
