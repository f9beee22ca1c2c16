"""What is kept of a FHIR R4 resource.

A list of what is kept, not of what is removed: an element that is not named here is dropped, whatever it is. The
names cover the modules of the MII core data set. FHIR uses one name for one meaning nearly everywhere, so the
lists are by name; where a name has two meanings, the JSON type tells them apart (`code`: a string or a concept).
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Resources that are taken without being named by the caller.
KNOWN: Final = _words(
    """AllergyIntolerance CarePlan ClinicalImpression Condition Consent DiagnosticReport DocumentReference Encounter
    EpisodeOfCare FamilyMemberHistory Goal Immunization Medication MedicationAdministration MedicationDispense
    MedicationRequest MedicationStatement Observation Patient Procedure ResearchSubject RiskAssessment ServiceRequest
    Specimen"""
)
# Resources that hold others or anything at all: never taken.
NEVER: Final = _words("Binary Bundle Parameters OperationOutcome")
# Every resource of R4 that a reference may point to.
RESOURCES: Final = KNOWN | _words(
    """Account ActivityDefinition AdverseEvent Appointment AppointmentResponse AuditEvent Basic Binary
    BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CareTeam CatalogEntry ChargeItem
    ChargeItemDefinition Claim ClaimResponse CodeSystem Communication CommunicationRequest CompartmentDefinition
    Composition ConceptMap Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device
    DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement DocumentManifest EffectEvidenceSynthesis Endpoint
    EnrollmentRequest EnrollmentResponse EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
    Flag GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy ImmunizationEvaluation
    ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure
    MeasureReport Media MedicationKnowledge MedicinalProduct MessageDefinition MessageHeader MolecularSequence
    NamingSystem NutritionOrder ObservationDefinition OperationDefinition OperationOutcome Organization
    OrganizationAffiliation Parameters PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner
    PractitionerRole Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition
    ResearchElementDefinition ResearchStudy RiskEvidenceSynthesis Schedule SearchParameter Slot SpecimenDefinition
    StructureDefinition StructureMap Subscription Substance SupplyDelivery SupplyRequest Task TerminologyCapabilities
    TestReport TestScript ValueSet VerificationResult VisionPrescription"""
)

# Elements whose objects, numbers and truth values are kept; strings only as the table below says.
KEEP: Final = _words(
    """abatementAge abatementPeriod abatementRange account action active activity actor actualPeriod additive
    additiveCodeableConcept address admitSource age ageAge ageRange amount appliesTo appointment asNeededBoolean
    asNeededCodeableConcept asserter assessment assigner attachment author basedOn batch bodySite bodyStructure
    boundsDuration boundsPeriod boundsRange capacity careManager careTeam category class classHistory
    clinicalStatus code coding collectedPeriod collection collector communication component condition consent
    consentingParty container content context contraindication count countMax course criticality data
    dataAbsentReason dataPeriod deceasedAge deceasedBoolean deceasedRange denominator derivedFrom description
    descriptionCodeableConcept destination detail device diagnosis dischargeDisposition dispenseRequest
    doNotPerform dosage dosageInstruction dose doseAndRate doseQuantity doseRange doseSimpleQuantity duration
    durationMax effectivePeriod effectiveTiming encounter episodeOfCare estimatedAge evidence exclude
    expectedSupplyDuration exposureRoute facilityType fastingStatusCodeableConcept fastingStatusDuration finding
    focalDevice focus followUp form format frequency frequencyMax function generalPractitioner goal handling
    hasMember high hospitalization identified individual informationSource ingredient insurance intendedDispenser
    interpretation investigation isActive isSubpotent issuedBy itemCodeableConcept itemReference length
    lifecycleStatus link location locationCode locationReference low lowerLimit managingOrganization
    manifestation manipulated manufacturer maritalStatus maxDosePerAdministration maxDosePerLifetime
    maxDosePerPeriod meaning media medicationCodeableConcept medicationReference member meta method
    numberOfRepeatsAllowed numerator offset onsetAge onsetPeriod onsetRange orderDetail organization origin other
    outcome outcomeCodeableConcept outcomeReference parent part partOf participant patient patientInstructionCode
    payload performedAge performedPeriod performedRange performer performerType period periodMax physicalType
    policy policyRule practiceSetting preAdmission precondition prediction preferred priorPrescription priority
    probabilityDecimal probabilityRange problem procedure processing prognosisCodeableConcept protocolApplied
    provision purpose qualitativeRisk quantity quantityQuantity quantityRange quantityRatio rank rate
    rateQuantity rateRange rateRatio reAdmission reaction reason reasonCode reasonReference recorder reference
    referenceRange referredSpecimen relationship relativeRisk repeat replaces request requester result
    resultsInterpreter role route rule scope security securityLabel sender sequence serviceProvider serviceType
    severity sex site size source sourceReference specialArrangement specialCourtesy specimen specimenQuantity
    stage statusHistory statusReason strength study subject subpotentReason substance substanceCodeableConcept
    substitution summary supportingInfo supportingInformation supportingOtherInfo suspectEntity tag target
    targetDisease team timePeriod timing type useContext usedCode usedReference vaccineCode validityPeriod value
    valueBoolean valueCodeableConcept valueDecimal valueInteger valuePeriod valueQuantity valueRange valueRatio
    verification verificationStatus verified vital whenHandedOverBoolean"""
)
# Elements of the type Identifier.
IDENTIFIERS: Final = _words(
    "identifier accessionIdentifier groupIdentifier masterIdentifier requisition valueIdentifier"
)
# Strings that are kept, by kind.
CODES: Final = _words(
    """action code comparator contentType criticality dayOfWeek durationUnit gender intent language lifecycleStatus mode
    periodUnit priority relation relationship severity status type use version when category"""
)
URIS: Final = _words("system profile authority uri instantiatesCanonical")
DATES: Final = _words(
    """abatementDateTime assertedDate authoredOn boundsStart collectedDateTime creation date dateAsserted dateRecorded
    dateTime deceasedDate deceasedDateTime effectiveDateTime effectiveInstant end event expirationDate issued
    lastOccurrence occurrenceDateTime onsetDateTime performedDateTime receivedTime recordedDate recorded start startDate
    statusDate timeDateTime timeOfDay valueDateTime valueTime verificationDate whenHandedOver whenPrepared"""
)
UNITS: Final = _words("unit")
# Dropped, and well known: named in the count of what was dropped. Any other name is counted as "?".
DROPPED: Final = _words(
    """abatementString answer assignedArm comment conclusion contact criteria data deceasedString definition
    description detailString display div doseNumberString extension hash id lastUpdated lotNumber maidenName meta
    multipleBirthBoolean multipleBirthInteger name note onsetString patientInstruction performedString photo
    preparation presentedForm protocol reasonString recipientString series source sourceAttachment telecom text
    title url valueAttachment valueBase64Binary valueSampledData valueString versionId"""
)
# Values of extensions that cannot hold free text. `valueReference` and `valueIdentifier` are treated as such.
EXTENSION_VALUES: Final = _words(
    """valueBoolean valueCode valueCodeableConcept valueCoding valueDecimal valueDuration valueIdentifier valueInteger
    valuePeriod valuePositiveInt valueQuantity valueRange valueRatio valueReference valueUnsignedInt"""
)
DATA_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

# Identifier types (code of type.coding) that become pseudonyms, and the domain they belong to.
PSEUDONYMIZED: Final[dict[str, str]] = {"MR": "Patient", "VN": "Encounter", "PSEUDED": "Patient", "ANONYED": "Patient"}
PSEUDED_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
# Insurance numbers: removed whatever else is said about them.
INDEX: Final = re.compile(r"\[[0-9]+\]")  # of a repeated element in a path
INSURANCE_TYPES: Final = _words("KVZ10 GKV PKV KVK KVNR SS NH NI NIIP SB")
INSURANCE_SYSTEM: Final = re.compile(r"https?://fhir\.de/(sid|NamingSystem)/(gkv|pkv)/|urn:oid:1\.2\.276\.0\.76\.4\.8$")
INSURANCE_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][0-9]{9}([0-9]{10})?(?![0-9])")

# Public terminologies: a code of theirs is not compared with the identifiers of the resource.
PUBLIC: Final = (
    "http://snomed.info/",
    "http://loinc.org",
    "http://unitsofmeasure.org",
    "http://hl7.org/fhir",
    "http://terminology.hl7.org/",
    "http://fhir.de/CodeSystem/",
    "https://fhir.de/CodeSystem/",
    "http://www.whocc.no/atc",
    "http://www.orpha.net",
    "https://www.medizininformatik-initiative.de/fhir/",
    "urn:iso:std:iso:",
    "urn:ietf:bcp:",
    "urn:oid:2.16.840.1.113883.6.",
)

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
CODE: Final = re.compile(r"[^\s]+( [^\s]+)*")
URI: Final = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/+%-]*)*(\|[A-Za-z0-9.-]+)?"
    r"|urn:oid:[0-2](\.[0-9]+)+|urn:uuid:[0-9A-Fa-f-]{36}|urn:(iso|ietf):[A-Za-z0-9.:_/-]+"
)
NESTED_URL: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,63}")
DATE: Final = re.compile(
    r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
    r"|[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
)
BIRTH_DATE: Final = re.compile(r"([0-9]{4}(-[0-9]{2})?)(-[0-9]{2})?")
UNIT: Final = re.compile(r"(?!.*[0-9]{3})[A-Za-z0-9µμ°%/\[\]{}().*^_' +-]{1,24}")
REFERENCE: Final = re.compile(
    r"(?P<base>https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/)?"
    r"(?P<type>[A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?"
)
POSTCODE: Final = re.compile(r"[0-9]{2}")
COUNTRY: Final = re.compile(r"[A-Z]{2,3}")
ADDRESS_TYPES: Final = _words("postal physical both")
