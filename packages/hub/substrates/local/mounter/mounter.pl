# Stands ready to mount in the namespaces of machines: one system call after the other, where starting nsenter, a shell and mount for each would take ten times as long.
# Perl for the reasons of fence.pl.
#
#   perl mounter.pl ARCHITECTURE        x64 or arm64, as Node calls it
#
# Reads one order a line, parted by blanks, each word percent-encoded:
#   NUMBER PID USER ACT LAYERS TREE UPPER OPTIONS
#     PID      whose mount namespace (with USER = 1: and user namespace) it is done in
#     ACT      mount     the stack that OPTIONS describe on TREE, paths relative to LAYERS
#              swap      the same in place of what is mounted there, unless somebody has something of that open
#              read-only, writable   of what is mounted on TREE
# and says one line for each when it is done, in whatever order:
#   NUMBER done|busy|WORDS OF THE KERNEL
# Ends when its standard input does.
use strict;
use warnings;
use Errno qw(EBUSY);
use Fcntl qw(O_RDONLY);
use POSIX ();

# linux/mount.h, sched.h; open_tree and move_mount have one number on all architectures.
my ($NOSUID, $NODEV, $RDONLY, $REMOUNT) = (2, 4, 1, 32);
my ($NEWNS, $NEWUSER) = (0x20000, 0x10000000);
my ($OPEN_TREE, $MOVE_MOUNT, $AT_FDCWD, $CLONE, $FROM_DESCRIPTOR) = (428, 429, -100, 1, 4);
my %NUMBERS = (x64 => { mount => 165, umount2 => 166, setns => 308 }, arm64 => { mount => 40, umount2 => 39, setns => 268 });
my $numbers = $NUMBERS{ $ARGV[0] // '' } or die "no numbers for this architecture\n";
# What a swap has replaced is written to disk when its last holder lets go of it; whoever waits for the swap shall not wait for that too.
my $LET_GO_AFTER_SECONDS = 0.25;

# Children are not waited for: they say themselves how it went.
$SIG{CHLD} = 'IGNORE';
# A line is said in one write, so that those of several children do not mix.
$| = 1;
while (defined(my $line = <STDIN>)) {
  chomp $line;
  my ($number, @order) = split / /, $line, -1;
  my $child = fork;
  if (!defined $child) { say_how($number, "fork: $!"); next }
  next if $child;
  close STDIN;
  my $held = eval { carry_out(map { s/%([0-9A-F]{2})/chr hex $1/ger } @order) } // '';
  say_how($number, $@ eq '' ? ($held eq 'busy' ? 'busy' : 'done') : $@);
  # Whoever reads all that is said shall not wait for this child.
  close STDOUT;
  select undef, undef, undef, $LET_GO_AFTER_SECONDS if $held ne '' && $held ne 'busy';
  POSIX::_exit(0);
}

sub say_how {
  my ($number, $how) = @_;
  $how =~ s/\s+/ /g;
  syswrite STDOUT, "$number $how\n";
}

# The number of a descriptor that still holds what was replaced, 'busy', or ''.
sub carry_out {
  my ($pid, $user, $act, $layers, $tree, $upper, $options) = @_;
  my @spaces = map { [$_, open_space("/proc/$pid/ns/$_->[0]")] } ($user ? ['user', $NEWUSER] : ()), ['mnt', $NEWNS];
  call('setns', $_->[1], $_->[0][1]) or die "entering the machine's namespace: $!\n" for @spaces;
  if ($act eq 'read-only' || $act eq 'writable') {
    my $flags = $REMOUNT | $NOSUID | $NODEV | ($act eq 'read-only' ? $RDONLY : 0);
    return '' if call('mount', 'none', $tree, 'none', $flags, '');
    return 'busy' if $! == EBUSY;
    die "changing the machine's tree: $!\n";
  }
  chdir $layers or die "the layers: $!\n";
  my $held = '';
  if ($act eq 'swap') {
    $held = syscall($OPEN_TREE, $AT_FDCWD, my $path = $tree, $CLONE);
    die "holding the machine's tree: $!\n" if $held < 0;
    # Not by force: the kernel refuses while anyone, in whatever namespace, stands in it or has something of it open.
    if (!call('umount2', $tree, 0)) { return 'busy' if $! == EBUSY; die "letting go of the machine's tree: $!\n" }
  }
  return $held if call('mount', $upper, $tree, 'overlay', $NOSUID | $NODEV, $options);
  my $why = "mounting the machine's tree: $!";
  # What was there goes back to its place: the machine must not go on without its tree.
  if ($held ne '' && syscall($MOVE_MOUNT, $held, my $nothing = '', $AT_FDCWD, my $place = $tree, $FROM_DESCRIPTOR) < 0) { $why .= "; putting it back: $!" }
  die "$why\n";
}

# As a number: what is a string would be taken for an address.
sub open_space { 0 + (POSIX::open($_[0], O_RDONLY) // die "the machine's namespace: $!\n") }

# System calls take numbers as numbers and everything else as the address of bytes.
sub call {
  my ($name, @arguments) = @_;
  return syscall($numbers->{$name}, @arguments) >= 0;
}
