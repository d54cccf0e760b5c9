"""Systems that every course meets: oscillators, populations, an epidemic, a neuron."""

from pdes.ode_families._system import system
from pdes.ordinary import Ordinary
from pdes.scalars import loguniform, uniform

linear_oscillator = system(
    "linear_oscillator",
    "q_t = v; v_t = -omega^2*q - 2*zeta*omega*v",
    {"q": uniform(-2, 2), "v": uniform(-2, 2)},
    {"omega": 2.0, "zeta": 0.1},
    description="Damped linear oscillator; held out: parameters 10 to 20 % away.",
)

logistic = system(
    "logistic",
    "n_t = r*n*(1 - n/K)",
    {"n": loguniform(0.01, 2)},
    {"r": 1.0, "K": 1.0},
    description="Growth towards a capacity; held out: parameters 10 to 20 % away.",
    citation="Verhulst, Notice sur la loi que la population poursuit dans son accroissement, 1838",
)

pendulum = system(
    "pendulum",
    "theta_t = omega; omega_t = -g/l*sin(theta)",
    {"theta": uniform(-3, 3), "omega": uniform(-2, 2)},
    {"g": 9.81, "l": 1.0},
    conserved={"energy": "omega^2/2 - g/l*cos(theta)"},
    description="Pendulum without friction, swinging or turning over; held out: parameters 10 to 20 % away.",
)

driven_pendulum = system(
    "driven_pendulum",
    "theta_t = omega; omega_t = -sin(theta) - damping*omega + force*cos(frequency*t)",
    {"theta": uniform(-3, 3), "omega": uniform(-1, 1)},
    {"damping": 0.5, "force": 1.15, "frequency": 2 / 3},
    time=40,
    description="Damped driven pendulum, chaotic in part of its range: the right-hand side depends on t.",
    citation="Baker, Gollub, Chaotic Dynamics: An Introduction, Cambridge 1996",
)

lotka_volterra = system(
    "lotka_volterra",
    "prey_t = alpha*prey - beta*prey*predators; predators_t = delta*prey*predators - gamma*predators",
    {"prey": uniform(0.5, 2), "predators": uniform(0.3, 1.2)},
    {"alpha": 2 / 3, "beta": 4 / 3, "delta": 1.0, "gamma": 1.0},
    time=20,
    conserved={"orbit": "alpha*log(predators) + gamma*log(prey) - beta*predators - delta*prey"},
    description="Predators and prey; alpha log(predators) + gamma log(prey) - beta predators - delta prey is constant.",
    citation="Lotka, Elements of Physical Biology, 1925; Volterra, Nature 118, 1926",
)

van_der_pol = system(
    "van_der_pol",
    "q_t = v; v_t = mu*(1 - q^2)*v - q",
    {"q": uniform(-2, 2), "v": uniform(-2, 2)},
    {"mu": 2.0},
    time=20,
    description="Relaxation oscillator, mildly non-linear; held out: mu 10 to 20 % away.",
    citation="van der Pol, On relaxation-oscillations, Phil. Mag. 2, 1926",
)

van_der_pol_stiff = system(
    "van_der_pol_stiff",
    "q_t = v; v_t = mu*(1 - q^2)*v - q",
    {"q": uniform(1.5, 2.5), "v": 0.0},
    {"mu": 1000.0},
    time=2000,
    solver=Ordinary(method="kvaerno5", rtol=1e-8, atol=1e-8),
    chunk=16,
    check={"time": (0, 0.4), "parameters": {"mu": 20.0}},  # the first layer, where v_t is seen and q_t is more than rounding
    description="The same oscillator at mu = 1000: years of rest and jumps of a thousandth, for implicit methods only.",
    citation="Hairer, Wanner, Solving Ordinary Differential Equations II, Springer 1996, section IV.1",
)

neuron_fitzhugh_nagumo = system(
    "neuron_fitzhugh_nagumo",
    "v_t = v - v^3/3 - w + current; w_t = (v + a - b*w)/tau",
    {"v": uniform(-2, 2), "w": uniform(-0.5, 1.5)},
    {"current": 0.5, "a": 0.7, "b": 0.8, "tau": 12.5},
    time=100,
    description="Excitable neuron; held out: parameters 10 to 20 % away.",
    citation="FitzHugh, Biophys. J. 1, 1961; Nagumo, Arimoto, Yoshizawa, Proc. IRE 50, 1962",
)

epidemic_sir = system(
    "epidemic_sir",
    "S_t = -beta*S*I; I_t = beta*S*I - gamma*I; R_t = gamma*I",
    {"S": uniform(0.7, 1), "I": uniform(0.001, 0.05), "R": uniform(0, 0.2)},
    {"beta": 0.5, "gamma": 0.15},
    time=60,
    conserved={"population": "S + I + R"},
    description="Susceptible, infected, recovered shares of a population; their sum is constant.",
    citation="Kermack, McKendrick, Proc. R. Soc. A 115, 1927",
)
